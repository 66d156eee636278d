"""No page leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name, spans

_PATH = re.compile(r"(src|tests|docs|examples|core|cli|api|engine|adapters|settings)/[\w./-]+\.(py|md|toml|svg)")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_heading_that_exist(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        if _PATH.fullmatch(span):
            assert (ROOT / span).exists() or (ROOT / "src" / "noren" / span).exists(), span


def test_every_page_of_the_documentation_is_in_its_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}\n" in nav


def test_every_decision_is_numbered_and_in_the_overview() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(page.name for page in folder.glob("*.md") if page.name != "index.md")
    assert [int(record[:4]) for record in records] == list(range(1, len(records) + 1))
    assert set(links(folder / "index.md")) == set(records)
