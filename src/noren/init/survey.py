"""Goes through the folders of a repository and names an app for each site and server in it.

Used by ``first``. Pure: the same tree gives the same apps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noren.core.errors import NorenError
from noren.init.dockerfile import dockerfile
from noren.init.recognised import Recognised
from noren.init.servers import SERVERS
from noren.init.sites import SITES, plain
from noren.init.tree import Tree

_LOOKED_FOR = (
    "Hugo, Zensical, MkDocs, Jekyll, Eleventy, Astro, Vite, index.html, Django, FastAPI, Flask, "
    "a Node server, a Go server, the command of a Dockerfile"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An app to be: its name, the folder it is built in, and what was recognised there."""

    name: str
    root: str
    recognised: Recognised


def survey(tree: Tree, name: str) -> list[Found]:
    """Every app of a repository of this name, the top folder first; raises NorenError when there is none."""
    found: list[Found] = []
    for folder in (tree, *(tree.below(folder) for folder in tree.folders())):
        for one in _recognised(folder, found):
            found.append(Found(name=_free(_named(folder.root, name), one, found), root=folder.root, recognised=one))
    if not found and (one := dockerfile(tree)):
        found.append(Found(name=_named(".", name), root=".", recognised=one))
    if not found:
        raise _nothing(tree)
    return found


def _recognised(tree: Tree, found: list[Found]) -> list[Recognised]:
    """A server and a site at most, none of a sort that a folder above has; plain HTML if there is nothing else."""
    above = [one.recognised for one in found if one.root == "." or tree.root.startswith(f"{one.root}/")]
    server = None if any(one.run for one in above) else _first(SERVERS, tree)
    site = None if any(one.run is None for one in above) else _first(SITES, tree)
    if server is None and site is None and not found:
        site = plain(tree)
    return [one for one in (server, site) if one is not None]


def _first(recognisers: Sequence[Callable[[Tree], Recognised | None]], tree: Tree) -> Recognised | None:
    return next((one for recognise in recognisers if (one := recognise(tree))), None)


def _named(root: str, repository: str) -> str:
    """The name of an app must be [a-z][a-z0-9-]{0,39} (settings)."""
    text = re.sub(r"[^a-z0-9]+", "-", (repository if root == "." else root.rpartition("/")[2]).lower()).strip("-")
    text = text if re.match(r"[a-z]", text) else f"app-{text}".rstrip("-")
    return text[:34].rstrip("-")


def _free(name: str, one: Recognised, taken: list[Found]) -> str:
    names = {other.name for other in taken}
    if name not in names:
        return name
    kind = "site" if one.run is None else "api"
    return next(free for n in range(1, 100) if (free := f"{name}-{kind}{'' if n == 1 else n}") not in names)


def _nothing(tree: Tree) -> NorenError:
    top = ", ".join(sorted({file.split("/")[0] for file in tree.files})[:12])
    container = tree.first("Dockerfile", "Containerfile", "docker-compose.yml", "compose.yaml")
    if container:
        return NorenError(
            f"only {container} was recognised, with no command in it, and Noren does not run containers yet",
            seen=f"at the top: {top}; looked for: {_LOOKED_FOR}",
            hint="write noren.toml with what its RUN lines do as `build`, and its CMD with $PORT as `run`",
        )
    return NorenError(
        "nothing was recognised that Noren could build or run",
        seen=f"at the top: {top}; looked for: {_LOOKED_FOR}",
        hint="write noren.toml: repo, hosts, and a `build` that fills $NOREN_OUTPUT or a `run` that listens on $PORT",
    )
