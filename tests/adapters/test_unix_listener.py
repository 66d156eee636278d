"""A listener can be taken back from the process that inherited it, and is replaced without a gap."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from noren.adapters.unix_listener import bound, taken_back
from noren.core.errors import HostError


@contextmanager
def holder(stdin: int) -> Generator[int]:
    with subprocess.Popen(["sleep", "30"], stdin=stdin) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def test_a_connection_that_waits_is_accepted_through_the_duplicate(tmp_path: Path) -> None:
    with bound(tmp_path / "s") as listener, holder(listener.fileno()) as pid, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
        listener.close()
        duplicate = taken_back(pid, 0)
        assert duplicate is not None
        with duplicate:
            duplicate.settimeout(5)
            duplicate.accept()[0].close()


def test_nothing_is_taken_from_a_process_without_it_and_no_descriptor_leaks() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with holder(subprocess.DEVNULL) as pid:
        assert taken_back(pid, 0) is None
        assert taken_back(pid, 77) is None
    assert taken_back(pid, 0) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_path_leads_to_the_newest_listener(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bound(path), bound(path) as newest, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        newest.settimeout(5)
        newest.accept()[0].close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]


def test_a_folder_that_is_missing_is_an_error_of_the_host(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="Cannot listen"):
        bound(tmp_path / "missing/s")
