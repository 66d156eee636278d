"""Recognises what makes a static site, and the command that leaves it in ``$NOREN_OUTPUT``.

The commands and their options are those of each generator's own documentation. Used by ``survey``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from noren.init import packages
from noren.init.recognised import Recognised
from noren.init.tree import Tree

OUTPUT = '"$NOREN_OUTPUT"'
_MKDOCS = ("mkdocs.yml", "mkdocs.yaml")
_PACKAGES = ("mkdocs", "mkdocs-material")


def hugo(tree: Tree) -> Recognised | None:
    """hugo.toml and its kin, or config.toml with a baseURL beside content."""
    name = tree.first("hugo.toml", "hugo.yaml", "hugo.yml", "hugo.json", "config/_default/hugo.toml")
    if name is None:
        name = tree.first("config.toml", "config.yaml", "config.yml")
        content = any(file.startswith(("content/", "archetypes/", "layouts/")) for file in tree.files)
        if name is None or not content or not re.search(r"baseurl", tree.text(name), re.IGNORECASE):
            return None
    return Recognised(
        what="a Hugo site", why=name, build=f"hugo --minify --destination {OUTPUT}", tools=("hugo",), hints=(_ASSETS,)
    )


def zensical(tree: Tree) -> Recognised | None:
    """zensical.toml, or mkdocs.yml where zensical is installed. Its output folder is a setting, not an option."""
    name = tree.first("zensical.toml")
    if name is None and tree.mentions("zensical", packages.PYTHON_FILES):
        name = tree.first(*_MKDOCS)
    if name is None:
        return None
    installed = packages.python(tree, "zensical")
    found = re.search(r"^\s*site_dir\s*[=:]\s*[\"']?([\w./-]+)", tree.text(name), re.MULTILINE)
    build = installed.then(f"{installed.bin}zensical build --clean && cp -R {found[1] if found else 'site'}/. {OUTPUT}")
    return Recognised(what="a Zensical site", why=name, build=build, tools=installed.tools)


def mkdocs(tree: Tree) -> Recognised | None:
    """mkdocs.yml."""
    name = tree.first(*_MKDOCS)
    if name is None:
        return None
    material = "mkdocs-material" if re.search(r"name:\s*[\"']?material", tree.text(name)) else "mkdocs"
    listed = any(tree.mentions(package, ("requirements.txt", "docs/requirements.txt")) for package in _PACKAGES)
    installed = packages.python(tree if listed else tree.below("nothing"), material)
    build = installed.then(f"{installed.bin}mkdocs build --site-dir {OUTPUT}")
    return Recognised(what="an MkDocs site", why=name, build=build, tools=installed.tools)


def jekyll(tree: Tree) -> Recognised | None:
    """_config.yml, with a Gemfile or folders that Jekyll knows."""
    if "_config.yml" not in tree.files:
        return None
    build = f"jekyll build --destination {OUTPUT}"
    if "Gemfile" not in tree.files:
        return Recognised(what="a Jekyll site", why="_config.yml", build=build, tools=("jekyll",))
    build = f"bundle config set --local path vendor/bundle && bundle install && bundle exec {build}"
    return Recognised(what="a Jekyll site", why="_config.yml and Gemfile", build=build, tools=("bundle",))


def eleventy(tree: Tree) -> Recognised | None:
    """@11ty/eleventy in package.json, or its settings file."""
    return _of_node(tree, "an Eleventy site", "eleventy", f"eleventy --output={OUTPUT}", "@11ty/eleventy")


def astro(tree: Tree) -> Recognised | None:
    """astro in package.json; a site that is rendered on a server has an adapter and is not this."""
    if packages.node_has(tree, "@astrojs/node"):
        return None
    return _of_node(tree, "an Astro site", "astro", f"astro build --outDir {OUTPUT}", "astro")


def vite(tree: Tree) -> Recognised | None:
    """vite in package.json beside the index.html that is its entry."""
    if "index.html" not in tree.files:
        return None
    return _of_node(tree, "a Vite app", "vite", f"vite build --outDir {OUTPUT} --emptyOutDir", "vite")


def plain(tree: Tree) -> Recognised | None:
    """index.html and nothing that builds it."""
    if "index.html" not in tree.files:
        return None
    return Recognised(what="plain HTML", why="index.html", notes=("Nothing is built: the folder is served as it is.",))


def _of_node(tree: Tree, what: str, program: str, command: str, package: str) -> Recognised | None:
    if not packages.node_has(tree, package):
        return None
    installed = packages.node(tree)
    script = tree.package("scripts").get("build", "")
    before, last = _steps(script, program)
    build = installed.then(
        " && ".join([*(f"node_modules/.bin/{step}" for step in before), f"{installed.bin}{command}"])
    )
    notes = () if last else (f'The script "build" of package.json, {script!r}, was not used.',) if script else ()
    hints = (_FALLBACK, _ASSETS) if program == "vite" else (_ASSETS,)
    return Recognised(
        what=what, why=f"{package} in package.json", build=build, tools=installed.tools, notes=notes, hints=hints
    )


def _steps(script: str, program: str) -> tuple[list[str], bool]:
    """``tsc -b && vite build``: what runs before the generator itself, and whether all of it was understood."""
    steps = [step.strip() for step in script.split("&&")]
    known = [step for step in steps[:-1] if re.fullmatch(r"(tsc|vue-tsc|astro check|svelte-check)( -[\w-]+)*", step)]
    understood = len(known) == len(steps) - 1 and (not script or re.match(rf"(npx )?(@11ty/)?{program}\b", steps[-1]))
    return (known, True) if understood else ([], False)


_FALLBACK = 'static.fallback = "index.html"          # a single-page app that makes its own paths'
_ASSETS = 'static.cache_control = { "assets/*" = "public, max-age=31536000, immutable" }  # names with a hash in them'

SITES: tuple[Callable[[Tree], Recognised | None], ...] = (hugo, zensical, mkdocs, jekyll, eleventy, astro, vite)
