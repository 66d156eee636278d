"""The API of the running daemon on its unix socket: ``server`` with its ``desk``, and the ``client`` of the CLI."""
