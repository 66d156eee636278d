"""These tests need the cluster: `make test-kubernetes` starts one and runs them in its network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster() -> Path:
    """The folder of the cluster."""
    folder = os.environ.get("NOREN_TEST_CLUSTER")
    if folder is None:
        pytest.skip("no cluster: run `make test-kubernetes`")
    return Path(folder)
