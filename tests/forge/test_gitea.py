"""The whole way with a real forge: pushes, webhooks, pull requests, forks, commit statuses."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from noren.prove.keepalive import KeepAlive
from noren.prove.request import Target, gets
from tests.daemon import Daemon, no_leftovers
from tests.forge.gitea import PROGRAM, Clone, Gitea
from tests.forge.hook import SECRET, post
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.proofs.markers import Markers

pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason="no Gitea: `make test-forge` builds it and runs this"),
    pytest.mark.timeout(180),
]
SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[apps.site]
repo = "ssh://git@127.0.0.1:SSH/ada/site.git"
ssh_key_file = "key"
known_hosts_file = "known_hosts"
hosts = ["site.example"]
build = "sh build.sh"
env_file = "site.env"
verify = { bake_time = "1s" }
triggers = { poll = "POLL" }
webhook = { secret_env = "SITE_HOOK" }
forge = { kind = "gitea", url = "URL", project = "ada/site", token_env = "SITE_FORGE" }
[apps.site.pull_requests]
hosts = "pr-{number}.site.example"
"""
BUILD = "mkdir -p $NOREN_OUTPUT && cp index.html $NOREN_OUTPUT/ && env >$NOREN_OUTPUT/env.txt\n"
CANARY = "the secret of production"


def page(text: str) -> str:
    return f"<!doctype html><p>[marker {text}]</p>\n"


@dataclass
class Place:
    """The forge, the daemon that follows it, and Ada's working copy."""

    forge: Gitea
    noren: Daemon
    ada: Clone

    def get(self, host: str, path: str = "/") -> tuple[int, str]:
        return post(self.noren.port, path, b"", {"Host": host}, "GET")

    def configure(self, poll: str = "off", more: str = "") -> None:
        text = SETTINGS.replace("SSH", str(self.forge.ssh)).replace("URL", self.forge.url).replace("POLL", poll)
        self.noren.configure(text + more)

    def shows(self, number: int, text: str) -> None:
        def there() -> bool:
            return text in self.get(f"pr-{number}.site.example")[1]

        self.noren.until(there, f"preview {number} shows {text}", 60)

    def gone(self, number: int) -> None:
        """No app, no route, no process, no record, no ref, no build of it."""
        name = f"site-pr-{number}"
        self.noren.until(lambda: not self.app(name), f"{name} is gone", 30)
        assert self.get(f"pr-{number}.site.example")[0] == 404
        self.noren.until(lambda: not self.refs(name), f"the refs of {name} are gone", 10)
        assert not [folder for folder in self.noren.state.glob(f"*/{name}*") if folder.parent.name != "builds"]

    def app(self, name: str) -> Any:
        apps: Any = self.noren.client.status()
        return next((app for app in apps["apps"] if app["name"] == name), None)

    def refs(self, app: str) -> str:
        (mirror,) = self.noren.state.glob("mirrors/*.git")
        command = ["git", "--git-dir", str(mirror), "for-each-ref", f"refs/noren/{app}/"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def open(self, branch: str, text: str) -> tuple[int, str]:
        """A pull request of Ada's; its number and head."""
        head = self.ada.push(branch, {"index.html": page(text)})
        made = self.forge.api("/repos/ada/site/pulls", {"title": text, "head": branch, "base": "main"})
        return int(made["number"]), head

    def close(self, number: int) -> None:
        self.forge.api(f"/repos/ada/site/pulls/{number}", {"state": "closed"}, method="PATCH")

    def told(self, revision: str, context: str, state: str) -> tuple[str, str]:
        """Wait for a status; its text and address."""

        def there() -> tuple[str, str] | None:
            found = self.forge.statuses("ada/site", revision).get(context)
            return found[1:] if found and found[0] == state else None

        return self.noren.until(there, f"{context} of {revision[:12]} is {state}", 30)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("forge")
    with pytest.MonkeyPatch.context() as patch, no_leftovers(folder), Gitea(folder / "gitea") as forge:
        patch.setenv("SITE_HOOK", SECRET)
        patch.setenv("SITE_FORGE", forge.ada.token)
        forge.api("/user/repos", {"name": "site", "default_branch": "main", "auto_init": True})
        ada = forge.clone("ada/site", folder / "ada")
        ada.push("main", {"index.html": page("first"), "build.sh": BUILD})
        noren = Daemon(folder / "noren", "")
        made = Place(forge, noren, ada)
        made.configure()
        _keys(forge, noren.folder)
        (noren.folder / "site.env").write_text(f"PASSWORD='{CANARY}'\n")
        with noren:
            hook = {"url": f"http://127.0.0.1:{noren.port}/.noren/hooks/site", "content_type": "json", "secret": SECRET}
            events = ["push", "pull_request", "pull_request_sync"]
            forge.api("/repos/ada/site/hooks", {"type": "gitea", "config": hook, "events": events, "active": True})
            noren.kept("site", ada.git("rev-parse", "main"))
            yield made


def _keys(forge: Gitea, folder: Path) -> None:
    """A deploy key, as an administrator would make one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    key = (folder / "key.pub").read_text()
    forge.api("/repos/ada/site/keys", {"title": "noren", "key": key, "read_only": True})
    forge.known_hosts(folder / "known_hosts")


def test_a_push_is_told_by_webhook_live_and_its_status_in_the_forge(place: Place) -> None:
    began = time.monotonic()
    revision = place.ada.push("main", {"index.html": page("pushed")})
    place.noren.until(lambda: "pushed" in place.get("site.example")[1], "the push is live", 60)
    claim("from the end of a push to live, by webhook, polling off", f"{time.monotonic() - began:.1f} s")
    place.noren.kept("site", revision)
    text, address = place.told(revision, "noren/site", "success")
    assert address == f"http://site.example:{place.noren.port}/"
    assert "0 failed" in text


def test_a_push_that_breaks_the_build_is_a_failure_in_the_forge_and_shows_no_log(place: Place) -> None:
    revision = place.ada.push("main", {"build.sh": "echo the log has a secret; exit 3\n"})
    text, _ = place.told(revision, "noren/site", "failure")
    assert "exit code 3" in text
    assert "secret" not in text
    assert "pushed" in place.get("site.example")[1]
    place.noren.kept("site", place.ada.push("main", {"build.sh": BUILD}))


def test_a_pull_request_is_shown_updated_under_load_and_gone(place: Place) -> None:
    number, head = place.open("feature", "one")
    place.shows(number, "[marker one]")
    place.told(head, "noren/site/preview", "success")
    host = f"pr-{number}.site.example"
    _, secrets = place.get(host, "/env.txt")
    assert "PASSWORD" not in secrets and "NOREN_REVISION" in secrets
    target = Target(port=place.noren.port, host=host, app=f"site-pr-{number}")
    load = KeepAlive(name="preview", target=target, rate=50, requests=gets("/"), check=Markers())
    other = Target(port=place.noren.port, host="site.example", app="site")
    with Background(load, KeepAlive(name="site", target=other, rate=50, check=Markers())) as traffic:
        for text in ("two", "three", "four"):
            head = place.ada.push("feature", {"index.html": page(text)})
            place.shows(number, f"[marker {text}]")
            place.told(head, "noren/site/preview", "success")
    proof = traffic.proof
    claim("a preview and its site while the preview is updated three times", f"{proof.lost} lost in {traffic.requests}")
    assert proof.lost == 0, "\n".join(proof.lines())
    place.close(number)
    place.gone(number)
    assert place.get("site.example")[0] == 200


def test_one_that_is_closed_while_noren_is_down_is_gone_after_its_start(place: Place) -> None:
    number, _ = place.open("away", "away")
    place.shows(number, "[marker away]")
    place.noren.end(signal.SIGTERM)
    assert place.get(f"pr-{number}.site.example")[0] == 200, "it serves on meanwhile"
    place.close(number)
    place.noren.up()
    place.gone(number)


def test_a_pull_request_of_a_fork_gets_nothing_until_its_very_commit_is_approved(place: Place) -> None:
    forge = place.forge
    mallory = forge.person("mallory")
    forge.api("/repos/ada/site/forks", {}, by=mallory)
    theirs = forge.clone("mallory/site", place.noren.folder.parent / "mallory", mallory)
    never = place.noren.folder / "never"
    evil = theirs.push("main", {"index.html": page("evil"), "build.sh": f"{BUILD}touch {never}\n"})
    wanted = {"title": "please", "head": "mallory:main", "base": "main"}
    number = forge.api("/repos/ada/site/pulls", wanted, by=mallory)["number"]
    name = f"site-pr-{number}"

    def left() -> str:
        pulls = place.app("site")["pull_requests"]
        return next((pull["reason"] for pull in pulls if pull["number"] == number), "")

    place.noren.until(left, "the fork is told of", 30)
    assert left() == "comes from a fork (forks = false)"
    assert not never.exists()
    assert (place.app(name), forge.statuses("ada/site", evil)) == (None, {})
    assert place.get(f"pr-{number}.site.example")[0] == 404

    good = theirs.push("main", {"index.html": page("good"), "build.sh": BUILD})
    place.configure(more="forks = true\n")
    place.noren.client.reload(prune=False, dry=False)
    place.noren.until(lambda: f"noren approve site {number} {good}" in left(), "it waits for an approval", 30)
    place.noren.client.approve("site", number, good)
    place.shows(number, "[marker good]")
    assert "PASSWORD" not in place.get(f"pr-{number}.site.example", "/env.txt")[1]
    worse = theirs.push("main", {"index.html": page("worse")})
    place.noren.until(lambda: f"noren approve site {number} {worse}" in left(), "what came after waits, too", 30)
    place.gone(number)


def test_pull_requests_that_come_and_go_leave_nothing(place: Place) -> None:
    """A handful on real parts; the hundred are in tests/engine/test_previews.py."""
    numbers = [place.open(f"branch-{index}", f"branch {index}")[0] for index in range(6)]
    for number in numbers[1:]:
        place.shows(number, "[marker branch")
    assert place.app(f"site-pr-{numbers[0]}") is None, "the limit is five: the oldest has none"
    for number in numbers:
        place.close(number)
    for number in numbers:
        place.gone(number)
    left = {app["name"] for app in place.noren.client.status()["apps"]}  # type: ignore[index]
    assert left == {"site"}


def test_no_secret_is_in_a_log_of_the_proxy_or_the_daemon(place: Place) -> None:
    for file in (place.noren.output, place.noren.state / "haproxy" / "haproxy.cfg"):
        text = file.read_text(errors="replace")
        assert all(secret not in text for secret in (SECRET, CANARY, place.forge.ada.token)), file
