"""A small site generator: Markdown to HTML, the day of each page's last commit, and no link that leads nowhere.

``python -m noren.demo.pages SOURCE OUTPUT``: the build of the demo's documentation. The project itself is published
with MkDocs; this needs nothing that Noren does not bring along.
"""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #f4f4f4; padding: .8rem; overflow: auto }}
td, th {{ padding: .2rem .6rem; text-align: left; vertical-align: top }}
footer {{ color: #777; margin-top: 3rem }}
img {{ max-width: 100% }}
</style>
<nav><a href="/">Noren</a></nav>
{body}
<footer>Last changed {changed}</footer>
"""


def main() -> int:
    """Build; 1 and a sentence for each link that leads nowhere."""
    source, output = Path(sys.argv[1]), Path(sys.argv[2])
    changed = _changed(source)
    broken: list[str] = []
    for file in sorted(source.rglob("*")):
        target = output / file.relative_to(source)
        if file.suffix == ".md":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_suffix(".html").write_text(_page(file, changed.get(str(file), "-"), broken))
        elif file.is_file() and file.suffix != ".py":
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    sys.stderr.writelines(f"{line}\n" for line in broken)
    return 1 if broken else 0


def _page(file: Path, changed: str, broken: list[str]) -> str:
    tokens = _MARKDOWN.parse(file.read_text())
    for link in _links(tokens):
        link.attrs["href"] = _target(file, str(link.attrs["href"]), broken)
    title = next((after.content for one, after in pairwise(tokens) if one.tag == "h1"), file.stem)
    body = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return _PAGE.format(title=html.escape(title), body=body, changed=changed)


def _links(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from (child for child in token.children or () if child.type == "link_open")


def _target(file: Path, href: str, broken: list[str]) -> str:
    """Where a link to a page leads in the site."""
    path, mark, anchor = href.partition("#")
    if "://" in href or not path:
        return href
    if not (file.parent / path).exists():
        broken.append(f"{file} links to {path}, which is not there")
    return f"{path.removesuffix('.md')}.html{mark}{anchor}" if path.endswith(".md") else href


def _changed(source: Path) -> dict[str, str]:
    """The day of the last commit of each file: this is what a build needs history for."""
    argv = ["git", "log", "--format=:%cs", "--name-only", "--relative", "--", str(source)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    days: dict[str, str] = {}
    day = ""
    for line in filter(None, said.splitlines()):
        if line.startswith(":"):
            day = line[1:]
        else:
            days.setdefault(line, day)
    return days


if __name__ == "__main__":
    sys.exit(main())
