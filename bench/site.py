"""The static site that benches measure: a daemon, a repository, and a client that sees which release answers."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.daemon import Daemon, Repository

HOST = "bench.example"
SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[apps.site]
repo = "repo"
hosts = ["bench.example"]
build = "cp -r . $NOREN_OUTPUT"
triggers = { poll = "200ms" }
verify = { bake_time = "200ms" }
"""
PAGES = 50
_PATIENCE = 10.0  # seconds


def page(text: str) -> str:
    """About 1 kB."""
    return f"<!doctype html><title>{text}</title><p>{'Some words of a page. ' * 42}</p>"


@dataclass
class Site:
    """``release`` is the one that answers."""

    folder: Path
    noren: Daemon
    repository: Repository
    release: int = 0

    def commit(self, text: str) -> str:
        """A commit that changes the first page."""
        return self.repository.commit({"index.html": page(text)})

    def goes_live(self, text: str) -> None:
        """Commit and wait until it is kept."""
        self.release = self.noren.kept("site", self.commit(text))["release"]

    def client(self) -> HTTPConnection:
        """A connection of a visitor, kept alive."""
        return HTTPConnection("127.0.0.1", self.noren.port, timeout=_PATIENCE)


@contextmanager
def site() -> Generator[Site]:
    """A site of some pages and two releases, in a folder of its own."""
    with TemporaryDirectory(prefix="noren-bench-") as name:
        folder = Path(name)
        repository = Repository(folder / "repo")
        files: dict[str, str | None] = {f"page-{n}.html": page(f"Page {n}") for n in range(PAGES)}
        first = repository.commit(files | {"index.html": page("first"), "large.bin": "x" * 100_000})
        with Daemon(folder, SETTINGS) as noren:
            noren.kept("site", first)
            made = Site(folder, noren, repository)
            made.goes_live("second")
            yield made


def until_answered_by(client: HTTPConnection, release: int) -> float:
    """Ask again and again; the monotonic time at which this release answered. Raises TimeoutError."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        client.request("GET", "/", headers={"Host": HOST})
        answer = client.getresponse()
        answer.read()
        if answer.status == 200 and answer.headers["X-Noren-Release"] == f"site@{release}":
            return time.monotonic()
    raise TimeoutError(f"release {release} did not answer within {_PATIENCE:g} s")
