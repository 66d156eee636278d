"""Back and forth between releases under load: nothing is lost, and no cache says "not modified" of what was."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from noren.prove.checks import Check
from noren.prove.conditional import Conditional
from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.load import Load, Stage
from noren.prove.outcome import Problem
from noren.prove.request import Answer, Request, Target, gets
from noren.prove.summary import Percentiles
from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.listener import Listener
from tests.proofs.markers import Markers

# Each build writes another number of ten digits, at one and the same time of change: only the content tells.
SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[apps.site]
repo = "repo"
hosts = ["site.example"]
triggers = { poll = "500ms" }
verify = { bake_time = "1s" }
env = { BUILD = "BUILT" }
[apps.site.build]
run = '''
n=$(date +%s%N | tail -c 11)
for page in index other; do sed "s/COUNTER/$n/" $page.html >$NOREN_OUTPUT/$page.html; done
touch -d @1600000000 $NOREN_OUTPUT/*
'''
"""
PAGE = "<!doctype html><p>[marker COUNTER]</p><p>{}</p>" + "words " * 400
PATHS = ("/", "/other", "/other.html")


@dataclass(kw_only=True)
class Compressed(Conditional):
    """As browsers ask: compressed."""

    def next_request(self, stage: Stage) -> Request:
        request = super().next_request(stage)
        request.headers["Accept-Encoding"] = "gzip"
        return request


def unpacked(markers: Markers) -> Check:
    """The check of pages that may come compressed."""

    def check(request: Request, answer: Answer) -> Problem | None:
        packed = answer.headers.get("content-encoding") == "gzip"
        body = gzip.decompress(answer.body) if packed else answer.body
        return markers(request, Answer(answer.status, answer.headers, body, answer.reusable))

    return check


def loads(port: int, markers: Markers) -> list[Load]:
    """600 requests a second, half of them conditional."""
    target = Target(port=port, host="site.example", app="site")
    pages = gets(*PATHS)
    return [
        NewConnection(name="new connections", target=target, rate=100, requests=pages, check=markers),
        KeepAlive(name="kept alive", target=target, rate=200, connections=32, requests=pages, check=markers),
        Conditional(name="conditional", target=target, rate=150, paths=PATHS, check=markers),
        Compressed(name="compressed", target=target, rate=150, paths=PATHS, check=unpacked(markers)),
    ]


def builds(noren: Daemon, repository: Repository) -> list[int]:
    """Release 1 of the first commit, 2 of the second, 3 of the second again: a rebuild with equal sizes and times."""
    numbers = [noren.kept("site", repository.commit({"text.txt": "two"}))["release"]]
    noren.configure(SETTINGS.replace("BUILT", "again"))
    noren.client.reload(prune=False, dry=False)
    noren.until(lambda: noren.status("site")["last_good"] == numbers[0] + 1, "the rebuild is kept")
    return [numbers[0] - 1, numbers[0], numbers[0] + 1]


def go(noren: Daemon, release: int) -> float:
    """Roll back (or forward) to a release; how long the switch took, in seconds."""
    rollout = noren.client.rollback("site", release)
    outcome = [line for line in noren.client.verdict("site", rollout) if "outcome" in line]
    assert outcome and outcome[0]["outcome"]["outcome"] == "kept", outcome
    return noren.client.receipt("site", rollout)["switch_ms"] / 1000


@sized("rounds", 10, 200)
def test_going_back_and_forth_loses_nothing_and_no_304_lies(tmp_path: Path, rounds: int) -> None:
    made = Repository(tmp_path / "repo")
    first = made.commit({"index.html": PAGE.format("index"), "other.html": PAGE.format("other")})
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS.replace("BUILT", "first")) as noren:
        noren.kept("site", first)
        before = Listener.of(noren.port, noren.state)
        markers = Markers()
        switches: list[float] = []
        with Background(*loads(noren.port, markers)) as traffic:
            one, two, again = builds(noren, made)
            for number in range(rounds):
                switches.append(go(noren, (two, one)[number % 2]))
                switches.append(go(noren, again))
        proof = traffic.proof
        unmodified = sum(record.status == 304 for record in traffic.ledger.records)
        figures = f"{proof.lost} lost in {proof.summary.requests} requests, {unmodified} times 304"
        claim(f"{rounds} rollbacks and back again", figures, seed=proof.summary.seed)
        claim("a switch", str(Percentiles.of(switches)))
        print("\n".join(proof.lines()))
        assert proof.lost == 0
        assert unmodified > 0
        served = [next(iter(markers.seen[f"site@{release}"])) for release in (one, two, again)]
        assert len(set(served)) == 3, "the builds do not differ"
        assert len(set(map(len, served))) == 1, "the builds differ in size"
        assert Listener.of(noren.port, noren.state) == before
