"""The command line: one verb a file, each a thin client of the running daemon."""
