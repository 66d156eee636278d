"""Two apps of one daemon under load: a victim that is mistreated, and a bystander that must not notice.

Used by the proofs of bad input. ``pair`` fails when a request to either was lost, or when the bystander
cannot be upgraded at the end.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noren.prove.keepalive import KeepAlive
from noren.prove.load import Load
from noren.prove.request import Target, gets
from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.proofs.markers import Markers

SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[defaults]
triggers = { poll = "300ms" }
verify = { bake_time = "1s" }
[apps.victim]
repo = "victim"
hosts = ["victim.example"]
build = "sh build.sh"
[apps.bystander]
repo = "bystander"
hosts = ["bystander.example"]
"""
GOOD = "cp index.html $NOREN_OUTPUT"


def page(text: str) -> dict[str, str | None]:
    """A first page that a good build publishes."""
    return {"index.html": f"<!doctype html><p>[marker {text}]</p>", "build.sh": GOOD}


@dataclass
class Pair:
    """The daemon and the repositories of both apps."""

    noren: Daemon
    victim: Repository
    bystander: Repository

    def concluded(self, revision: str, timeout: float = 60.0) -> dict[str, Any]:
        """Wait for the outcome of a revision of the victim; its line of ``releases``."""

        def there() -> dict[str, Any] | None:
            rows: Any = self.noren.client.releases("victim")
            return next((row for row in rows if row["revision"] == revision and row["outcome"]), None)

        return self.noren.until(there, f"victim {revision[:12]} has its outcome", timeout)

    def said(self, text: str) -> None:
        """Wait until the history of the victim says so."""

        def told() -> bool:
            return any(text in line["text"] for line in self.noren.client.events("victim", -100))

        self.noren.until(told, f"the history says {text!r}")

    def bystander_goes_on(self, text: str) -> None:
        """The bystander takes its next commit."""
        self.noren.kept("bystander", self.bystander.commit(page(text)))

    def quarantined(self) -> set[str]:
        """Revisions."""
        return {row["revision"] for row in self.noren.client.quarantine()}


@contextmanager
def pair(folder: Path, what: str, settings: str = SETTINGS) -> Generator[Pair]:
    """Both apps serve their first release; afterwards nothing was lost and the bystander goes on."""
    victim, bystander = Repository(folder / "victim"), Repository(folder / "bystander")
    first = {"victim": victim.commit(page("first")), "bystander": bystander.commit(page("first"))}
    with no_leftovers(folder), Daemon(folder, settings) as noren:
        for app, revision in first.items():
            noren.kept(app, revision)
        both = Pair(noren, victim, bystander)
        with Background(*(_load(noren.port, app) for app in first)) as traffic:
            yield both
            both.bystander_goes_on("after all")
        proof = traffic.proof
        claim(what, f"{proof.lost} lost in {proof.summary.requests} requests", seed=proof.summary.seed)
        assert proof.lost == 0, "\n".join(proof.lines())


def _load(port: int, app: str) -> Load:
    target = Target(port=port, host=f"{app}.example", app=app)
    return KeepAlive(name=app, target=target, rate=50, connections=8, requests=gets("/"), check=Markers())
