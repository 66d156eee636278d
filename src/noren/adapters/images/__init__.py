"""Container images without a daemon: written as OCI layouts, pushed to a registry, found there by tag and digest."""
