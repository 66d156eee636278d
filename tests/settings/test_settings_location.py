"""Which settings file is meant, and where its daemon listens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from noren.core.errors import SettingsError
from noren.settings import location


def test_the_option_wins_over_the_environment_and_that_over_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noren.toml").touch()
    assert location.find("x.toml", {"NOREN_CONFIG": "/y.toml"}) == tmp_path / "x.toml"
    assert location.find(None, {"NOREN_CONFIG": "/y.toml"}) == Path("/y.toml")
    assert location.find(None, {}) == tmp_path / "noren.toml"


def test_the_system_file_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(location, "SYSTEM", tmp_path / "etc.toml")
    with pytest.raises(SettingsError, match="no settings file") as caught:
        location.find(None, {})
    assert str(tmp_path / "etc.toml") in caught.value.seen
    (tmp_path / "etc.toml").touch()
    assert location.find(None, {}) == tmp_path / "etc.toml"


@pytest.mark.parametrize(
    ("text", "folder"), [("[apps]", ".noren"), ('server.state = "s/t"', "s/t"), ('server.state = "/v"', "/v")]
)
def test_the_state_folder_is_relative_to_the_file(tmp_path: Path, text: str, folder: str) -> None:
    (tmp_path / "noren.toml").write_text(text)
    assert location.state_folder(tmp_path / "noren.toml") == tmp_path / folder


def test_the_state_folder_is_found_although_an_app_has_an_error(tmp_path: Path) -> None:
    (tmp_path / "noren.toml").write_text("[apps.X]\nnonsense = 1")
    assert location.state_folder(tmp_path / "noren.toml") == tmp_path / ".noren"


def test_finding_the_daemon_imports_no_pydantic() -> None:
    code = "import sys, noren.settings.location; print('pydantic' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert answer.stdout.strip() == "False"
