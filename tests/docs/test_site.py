"""The documentation builds without a warning, and asks no other host for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT


def test_the_documentation_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', page.read_text()), page


def test_the_picture_is_small_and_complete_in_itself() -> None:
    picture = (ROOT / "docs" / "demo.svg").read_text()
    assert len(picture) < 150_000
    assert "url(http" not in picture
    assert "<script" not in picture
    assert "lost&#160;0&#160;requests" in picture


def test_the_changelog_has_a_place_for_the_next_change_and_the_released_version() -> None:
    from noren import __version__

    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert __version__ in heads


def test_the_license_is_the_whole_apache_license() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert "END OF TERMS AND CONDITIONS" in text
