"""Settings that are wrong when they are read again: refused with file and key, and everything runs on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from noren.core.errors import NorenError
from tests.proofs.claim import claim
from tests.proofs.pair import SETTINGS, Pair, page, pair

CLAIMED = '\n[apps.third]\nrepo = "bystander"\nhosts = ["Victim.Example"]\n'
WRONG = {
    "half written": (SETTINGS[: SETTINGS.index('repo = "bystander"') + 9], "noren.toml:"),
    "half written within a table": (SETTINGS[: SETTINGS.index("[apps.victim]") + 8], "noren.toml:"),
    "empty": ("", "is empty"),
    "unknown key": (SETTINGS + "kepe = 3\n", "apps.bystander.kepe"),
    "wrong type": (SETTINGS + 'keep = "many"\n', "apps.bystander.keep"),
    "no duration": (SETTINGS.replace('"300ms"', '"soon"'), "poll"),
    "two apps claim a host": (SETTINGS + CLAIMED, "victim.example"),
    "option for a repository": (SETTINGS.replace('"victim"', '"--upload-pack=touch pwned"'), "apps.victim.repo"),
    "helper for a repository": (SETTINGS.replace('"victim"', '"ext::touch pwned"'), "apps.victim.repo"),
    "option for a branch": (SETTINGS + 'branch = "--upload-pack=touch pwned"\n', "apps.bystander.branch"),
    "name with a newline": (SETTINGS.replace("[apps.victim]", '[apps."vic\\ntim"]'), "vic"),
    "publish leads out": (SETTINGS + 'publish = "../../.."\n', "apps.bystander.publish"),
    "root leads out": (SETTINGS + 'root = "/etc"\n', "apps.bystander.root"),
    "an app is missing": (SETTINGS[: SETTINGS.index("[apps.bystander]")], "bystander"),
    "control characters": (SETTINGS + "\x00\x1b[31m", "noren.toml:"),
}


def refused(both: Pair) -> str:
    with pytest.raises(NorenError) as caught:
        both.noren.client.reload(prune=False, dry=False)
    return str(caught.value)


def test_wrong_settings_are_refused_by_file_and_key_and_everything_runs_on(tmp_path: Path) -> None:
    with pair(tmp_path, f"{len(WRONG) + 3} ways of wrong settings") as both:
        before = both.noren.client.status()
        file = both.noren.settings
        for name, (text, key) in WRONG.items():
            both.noren.configure(text)
            message = refused(both)
            assert key in message, (name, message)
            assert name == "an app is missing" or file.name in message, (name, message)
            assert both.noren.client.status() == before, name
        file.write_bytes(SETTINGS.encode() + b"\xff\xfe")
        assert file.name in refused(both)
        file.unlink()
        assert file.name in refused(both)
        file.mkdir()
        assert file.name in refused(both)
        file.rmdir()
        assert not list(tmp_path.rglob("pwned"))
        both.noren.configure(SETTINGS + "keep = 5\n")
        assert both.noren.client.reload(prune=False, dry=False) == ["bystander: changed, no new release needed"]
        both.noren.kept("victim", both.victim.commit(page("after")))


def test_a_daemon_is_not_started_with_wrong_settings_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "noren.toml"
    wrong = {name: case for name, case in WRONG.items() if name != "an app is missing"}
    for name, (text, key) in wrong.items():
        file.write_text(text.replace("{port}", "18080"))
        command = [sys.executable, "-c", "from noren.main import main; main()", "-c", str(file), "check"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 2, (name, done)
        assert key in done.stderr + done.stdout, (name, done)
    claim("wrong settings at start", f"{len(wrong)} of {len(wrong)} refused with exit code 2")
