"""A Hugo site with a long history: two languages, a theme in the repository, dates from Git.

``history`` writes hundreds of commits in one stream, which ``git fast-import`` takes in a second.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SITE = """\
baseURL = "/"
title = "A site"
theme = "plain"
enableGitInfo = true
disableKinds = ["taxonomy", "term", "RSS", "sitemap"]
defaultContentLanguage = "en"
defaultContentLanguageInSubdir = true
{languages}
"""
_PAGE = """\
<!doctype html><title>{{ .Title }}</title><p>[marker {{ .Site.Data.marker.text }}]</p>
<p>{{ .Language.Lang }} {{ with .GitInfo }}{{ .AbbreviatedHash }} {{ .AuthorDate }}{{ end }}</p>
{{ .Content }}
"""
_LAYOUTS = ("index", "_default/single", "_default/list", "404")


def site(root: str, pages: int, *, languages: tuple[str, ...] = ("en",)) -> dict[str, str]:
    """The files of a site below ``root`` with so many pages in each language."""
    files = {f"{root}/themes/plain/layouts/{name}.html": _PAGE for name in _LAYOUTS}
    tables = "".join(f'[languages.{name}]\ncontentDir = "content/{name}"\n' for name in languages)
    files[f"{root}/config.toml"] = _SITE.format(languages=tables)
    files[f"{root}/themes/plain/theme.toml"] = 'name = "plain"\n'
    files |= marker(root, "0")
    for language in languages:
        for number in range(pages):
            files[f"{root}/content/{language}/page-{number}.md"] = page(number, "first")
    return files


def marker(root: str, text: str) -> dict[str, str]:
    """The file whose text every page of the site shows."""
    return {f"{root}/data/marker.toml": f'text = "{text}"\n'}


def page(number: int, text: str) -> str:
    """A page; ``text`` is its content."""
    return f"---\ntitle: Page {number}\n---\n{text} text of page {number}. " + "Words, words, words. " * 40 + "\n"


def history(path: Path, files: dict[str, str], edits: list[dict[str, str]]) -> None:
    """Make a repository at ``path``: one commit with ``files``, and one for each of ``edits``; checked out."""
    env = {"PATH": os.environ["PATH"], "HOME": str(path), "GIT_CONFIG_NOSYSTEM": "1"}
    stream = "".join(_commit(number, change) for number, change in enumerate([files, *edits], 1)).encode()
    for words, sent in (
        (("init", "-q", "-b", "main"), b""),
        (("fast-import", "--quiet"), stream),
        (("reset", "-q", "--hard"), b""),
    ):
        subprocess.run(["git", *words], cwd=path, env=env, input=sent, check=True, capture_output=True)


def _commit(number: int, files: dict[str, str]) -> str:
    return "".join(_lines(number, files))


def _lines(number: int, files: dict[str, str]) -> Iterator[str]:
    message = f"Edit {number}"
    yield f"commit refs/heads/main\ncommitter Ada <ada@example.org> {1_600_000_000 + 3600 * number} +0000\n"
    yield f"data {len(message)}\n{message}\n"
    for name, text in files.items():
        yield f"M 644 inline {name}\ndata {len(text.encode())}\n{text}\n"
    yield "\n"
