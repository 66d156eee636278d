"""Commits that cannot go live, under load: the old release serves, and the next good one goes out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from noren.prove.keepalive import KeepAlive
from noren.prove.request import Target, gets
from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.markers import Markers

SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[apps.site]
repo = "repo"
hosts = ["site.example"]
triggers = { poll = "300ms" }
verify = { bake_time = "1s" }
build = { run = "sh build.sh", timeout = "3s" }
"""
GOOD = "cp index.html $NOREN_OUTPUT"


@dataclass(frozen=True)
class Bad:
    """A build that must not go live, and what its reason must name."""

    name: str
    build: str
    reason: str


BADS = (
    Bad("fails", "echo the theme is missing >&2; exit 3", "the theme is missing"),
    Bad("hangs", "trap '' TERM; sleep 60", "longer than 3 s"),
    Bad("hangs in a daemon", "setsid sleep 60 & sleep 60", "longer than 3 s"),
    Bad("leaves nothing", "true", "left nothing"),
    Bad("leaves no index", "cp index.html $NOREN_OUTPUT/other.html", "no index.html"),
    Bad("leads out", "ln -s /etc/passwd $NOREN_OUTPUT/passwd; cp index.html $NOREN_OUTPUT", "outside of the site"),
    Bad("is killed", "kill -9 $$", "Killed"),
    Bad("is no program", "no-such-generator", "no-such-generator"),
)


def page(text: str) -> str:
    return f"<!doctype html><p>[marker {text}]</p>"


@contextmanager
def loaded(tmp_path: Path, what: str) -> Generator[tuple[Daemon, Repository]]:
    """A site that serves its first release; afterwards nothing was lost."""
    repository = Repository(tmp_path / "repo")
    first = repository.commit({"index.html": page("first"), "build.sh": GOOD})
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS) as noren:
        noren.kept("site", first)
        target = Target(port=noren.port, host="site.example", app="site")
        load = KeepAlive(name="kept alive", target=target, rate=100, requests=gets("/"), check=Markers())
        with Background(load) as traffic:
            yield noren, repository
        proof = traffic.proof
        claim(what, f"{proof.lost} lost in {proof.summary.requests} requests", seed=proof.summary.seed)
        assert proof.lost == 0, "\n".join(proof.lines())


def quarantined(noren: Daemon) -> dict[str, str]:
    """Revision → reason."""
    return {row["revision"]: row["reason"] for row in noren.client.quarantine()}


@sized("bads", BADS[1:6:2], BADS)
def test_a_bad_commit_is_quarantined_with_its_reason_and_the_next_one_goes_out(
    tmp_path: Path, bads: tuple[Bad, ...]
) -> None:
    with loaded(tmp_path, f"commits that are bad ({', '.join(bad.name for bad in bads)})") as (noren, repository):
        for bad in bads:
            active = noren.status("site")["active"]["release"]
            revision = repository.commit({"build.sh": bad.build, "index.html": page(bad.name)})
            row = noren.until(lambda r=revision: ended(noren, r), f"{bad.name}: it ends")
            assert row["outcome"] in ("failed", "aborted") and bad.reason in row["reason"], (bad.name, row)
            assert bad.reason in quarantined(noren)[revision], bad.name
            assert noren.status("site")["active"]["release"] == active
            tries = len(noren.client.releases("site"))
            after = repository.commit({"build.sh": GOOD, "index.html": page(f"after {bad.name}")})
            noren.kept("site", after)
            assert len(noren.client.releases("site")) == tries + 1, f"{bad.name} was tried again"


def ended(noren: Daemon, revision: str) -> dict[str, str] | None:
    """The release of a revision once it has its outcome."""
    rows = [row for row in noren.client.releases("site") if row["revision"] == revision and row["outcome"]]
    return rows[0] if rows else None


@pytest.mark.parametrize("gone", ["while nothing happens", "while it builds"])
def test_a_repository_that_is_away_for_a_while_is_nobodys_fault_and_heals(tmp_path: Path, gone: str) -> None:
    with loaded(tmp_path, f"a repository that was away {gone}") as (noren, repository):
        away = tmp_path / "away"
        if gone == "while it builds":
            repository.commit({"build.sh": f"sleep 1; {GOOD}", "index.html": page("slow")})
            noren.until(lambda: noren.status("site")["phase"] == "building", "it builds")
        repository.path.rename(away)
        noren.until(lambda: told(noren), "the history says that the repository cannot be read")
        away.rename(repository.path)
        noren.kept("site", repository.commit({"index.html": page("back"), "build.sh": GOOD}), timeout=40)
        assert quarantined(noren) == {}


def told(noren: Daemon) -> bool:
    return any(line["kind"] == "source" for line in noren.client.events("site", -50))
