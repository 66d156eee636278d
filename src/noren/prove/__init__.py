"""The load generator and the ledgers that prove that no request was lost.

A library: `noren prove` and the test suites call it, it knows nothing of the daemon. Start with ``run.Run``.
"""
