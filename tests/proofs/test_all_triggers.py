"""Every trigger at once, with real parts and in real time: bursts are two builds, downtime is one catch-up, and what
was sent back stays away."""

from __future__ import annotations

import hashlib
import hmac
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs.claim import claim, sized

SITE = """
[server]
listen = ["127.0.0.1:{{port}}"]
[apps.site]
repo = "{repo}"
build = "echo built >>{builds}; {build}; cp index.html $NOREN_OUTPUT"
hosts = ["site.localhost"]
triggers = {{ {triggers} }}
verify = {{ bake_time = "1s" }}
"""


@pytest.mark.timeout(120)
def test_ten_commits_in_five_seconds_are_at_most_two_builds(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "origin")
    repository.commit({"index.html": "0"})
    builds = tmp_path / "builds"
    toml = SITE.format(repo=repository.path, builds=builds, build="sleep 2", triggers='poll = "200ms"')
    with no_leftovers(tmp_path), Daemon(tmp_path / "noren", toml) as noren:
        noren.kept("site", repository.tip())
        before = _lines(builds)
        began = time.monotonic()
        for number in range(1, 11):
            newest = repository.commit({"index.html": str(number)})
            time.sleep(max(0.0, began + number * 0.5 - time.monotonic()))
        seconds = time.monotonic() - began
        noren.kept("site", newest)
        made = _lines(builds) - before
        claim(f"10 commits in {seconds:.1f} s", f"{made} builds, the newest is live")
        assert 1 <= made <= 2


@pytest.mark.timeout(180)
def test_a_daemon_that_was_down_over_three_scheduled_times_catches_up_once(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "origin")
    repository.commit({"index.html": "0"})
    every = 12  # seconds; a share of a minute, for cron counts from its beginning
    triggers = f'poll = "off", schedule = "*/{every} * * * * *"'
    toml = SITE.format(repo=repository.path, builds=tmp_path / "builds", build="true", triggers=triggers)
    with no_leftovers(tmp_path), Daemon(tmp_path / "noren", toml) as noren:
        noren.kept("site", repository.tip())
        noren.until(lambda: _runs(noren), "a scheduled time came")
        noren.end(signal.SIGTERM)
        down = time.time()
        while time.time() // every < down // every + 4:
            time.sleep(0.1)
        noren.up()
        up = time.time()
        after = noren.until(lambda: _after(noren, down, 2), "two runs after the downtime")
        claim(
            f"down over {up // every - down // every:.0f} scheduled times",
            f"1 catch-up {after[0] - up:+.1f} s from the start, then one at each time",
        )
        slots = [int(run // every) for run in after]
        assert len(set(slots)) == len(slots), "one run between two scheduled times, however many were missed"
        assert after[0] < up + every


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _runs(noren: Daemon) -> list[float]:
    """When the schedule was followed: seconds since 1970."""
    lines: Any = noren.client.events("site", -1000)
    return [datetime.fromisoformat(line["at"]).timestamp() for line in lines if "is built again" in line["text"]]


def _after(noren: Daemon, down: float, count: int) -> list[float] | None:
    runs = [run for run in _runs(noren) if run > down]
    return runs if len(runs) >= count else None


# --- nothing bad twice ----------------------------------------------------------------------

APP = """\
import http.server, os
BAD = {bad}
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if BAD and self.path != "/ready" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers).serve_forever()
"""
BOTH = """
[server]
listen = ["127.0.0.1:{{port}}"]
[defaults]
build = "test ! -e {flaky} && cat {weather} >$NOREN_OUTPUT/weather && cp * $NOREN_OUTPUT"
keep = 30
webhook = {{ secret_env = "HOOK_SECRET" }}
triggers = {{ poll = "1s", schedule = "*/5 * * * * *" }}
verify = {{ bake_time = "2s" }}
[apps.shop]
repo = "{shop}"
run = "exec python3 app.py"
ready = "/ready"
hosts = ["shop.localhost"]
[apps.site]
repo = "{site}"
tags = "v*"
hosts = ["site.localhost"]
"""


class Trouble:
    """All triggers, and what goes wrong around them, a step every half second."""

    def __init__(self, noren: Daemon, folder: Path, repositories: dict[str, tuple[Repository, str, str]]) -> None:
        self.noren, self.folder, self.repositories = noren, folder, repositories
        self.counts = dict.fromkeys(("webhooks", "failing builds", "lost networks", "moved away and back"), 0)

    def step(self, number: int) -> None:
        for name in self.repositories:
            self._webhook(name)
        at = number % 40
        if at in (4, 10):
            self._flaky(at == 4)
        if at in (14, 18):
            self._network(at == 18)
        if at in (22, 26):
            self._move(back=at == 26)
        (self.folder / "weather").write_text(str(number // 60))

    def calm(self) -> None:
        (self.folder / "flaky").unlink(missing_ok=True)

    def _webhook(self, name: str) -> None:
        body = b"{}"
        digest = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.noren.port}/.noren/hooks/{name}",
            data=body,
            headers={"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 202
        self.counts["webhooks"] += 1

    def _flaky(self, on: bool) -> None:
        if on:
            (self.folder / "flaky").touch()
            self.counts["failing builds"] += 1
        else:
            self.calm()

    def _network(self, there: bool) -> None:
        for repository, _, _ in self.repositories.values():
            away = repository.path.with_suffix(".away")
            _ = away.rename(repository.path) if there else repository.path.rename(away)
        self.counts["lost networks"] += not there

    def _move(self, *, back: bool) -> None:
        for repository, good, bad in self.repositories.values():
            _point(repository, bad if back else good)
        self.counts["moved away and back"] += back


def _point(repository: Repository, revision: str) -> None:
    """The branch and the tag v1.1 are at this commit now."""
    repository._git("update-ref", "refs/heads/main", revision)  # pyright: ignore[reportPrivateUsage]
    repository._git("tag", "--force", "v1.1", revision)  # pyright: ignore[reportPrivateUsage]


@contextmanager
def users(port: int) -> Iterator[None]:
    """Twenty requests a second to the shop."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "shop.localhost"})
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except urllib.error.HTTPError as error:
                error.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _released(noren: Daemon, app: str, revision: str) -> int:
    rows: Any = noren.client.releases(app)
    return sum(row["revision"] == revision for row in rows)


@pytest.mark.timeout(900)
@sized("seconds", 22, 600, minutes=15)
def test_what_was_sent_back_by_itself_and_by_hand_stays_away_from_all_triggers(
    tmp_path: Path, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    shop, site = Repository(tmp_path / "shop"), Repository(tmp_path / "site")
    good = {"shop": shop.commit({"app.py": APP.format(bad=False)}), "site": site.commit({"index.html": "good"})}
    _point(site, good["site"])
    (tmp_path / "weather").write_text("sun")
    paths = {"shop": shop.path, "site": site.path, "flaky": tmp_path / "flaky", "weather": tmp_path / "weather"}
    with no_leftovers(tmp_path), Daemon(tmp_path / "noren", BOTH.format(**paths)) as noren, users(noren.port):
        for app, revision in good.items():
            noren.kept(app, revision)
        bad = {"shop": shop.commit({"app.py": APP.format(bad=True)}), "site": site.commit({"index.html": "bad"})}
        _point(site, bad["site"])
        noren.outcome("shop", bad["shop"], "rolled_back")
        noren.kept("site", bad["site"])
        _by_hand(noren, bad["site"])
        trouble = Trouble(noren, tmp_path, {n: (r, good[n], bad[n]) for n, r in (("shop", shop), ("site", site))})
        releases = {app: _released(noren, app, bad[app]) for app in bad}
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end or number % 40 != 0:
            trouble.step(number)
            number += 1
            time.sleep(0.5)
        again = sum(_released(noren, app, bad[app]) - releases[app] for app in bad)
        rebuilt = sum(_released(noren, app, good[app]) - 1 for app in bad)
        trouble.calm()
        claim(
            f"sent back by itself and by hand, {seconds} s of all triggers",
            f"{again} redeployments of what is quarantined, {rebuilt} releases of rebuilds",
            settings=", ".join(f"{count} {name}" for name, count in trouble.counts.items()),
        )
        assert again == 0
        _next_commit(noren, shop, site)


def _by_hand(noren: Daemon, revision: str) -> None:
    """Back to the good release; a rebuild may be under way just then."""

    def back() -> bool:
        now = noren.status("site")
        if now["active"]["revision"] != revision:
            return bool(now["quarantined"])
        if now["phase"] == "idle":
            target = min(row["release"] for row in noren.client.releases("site"))  # type: ignore[index,union-attr]
            noren.client.rollback("site", target)
        return False

    noren.until(back, "the site is back")


def _next_commit(noren: Daemon, shop: Repository, site: Repository) -> None:
    shop.commit({"app.py": APP.format(bad=False) + "# mended\n"})
    site.commit({"index.html": "mended"})
    site._git("tag", "v1.2")  # pyright: ignore[reportPrivateUsage]
    noren.kept("shop", shop.tip())
    noren.kept("site", site.tip())
