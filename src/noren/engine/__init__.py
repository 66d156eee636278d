"""The async shell around the core: it loops, executes instructions and recovers."""
