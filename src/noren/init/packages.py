"""How the dependencies of a Python or Node project are installed, from its lock file.

Used by ``sites`` and ``servers``.
"""

from __future__ import annotations

from dataclasses import dataclass

from noren.init.tree import Tree

PYTHON_FILES = ("requirements.txt", "pyproject.toml", "Pipfile", "docs/requirements.txt", "setup.py", "setup.cfg")


@dataclass(frozen=True, slots=True)
class Packages:
    """``install`` is a command or "", ``bin`` the folder of what was installed, with its /, ``tools`` what it needs."""

    install: str
    bin: str
    tools: tuple[str, ...]

    def then(self, command: str) -> str:
        """Install, then this."""
        return f"{self.install} && {command}" if self.install else command


def python(tree: Tree, *otherwise: str) -> Packages:
    """``otherwise``: packages to install into a virtual environment when the project lists none."""
    if "uv.lock" in tree.files:
        return Packages("uv sync --frozen --no-dev", ".venv/bin/", ("uv",))
    if "poetry.lock" in tree.files:
        return Packages("POETRY_VIRTUALENVS_IN_PROJECT=1 poetry install --only main", ".venv/bin/", ("poetry",))
    if file := tree.first("requirements.txt", "docs/requirements.txt"):
        return _environment(f"-r {file}")
    if "dependencies" in tree.text("pyproject.toml"):
        return _environment(".")
    return _environment(" ".join(otherwise)) if otherwise else Packages("", "", ("python3",))


def _environment(what: str) -> Packages:
    return Packages(f"python3 -m venv .venv && .venv/bin/pip install {what}", ".venv/bin/", ("python3",))


def node(tree: Tree) -> Packages:
    """By the lock file; npm without one."""
    for lock, command, tool in (
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm"),
        ("yarn.lock", "yarn install --frozen-lockfile", "yarn"),
        ("package-lock.json", "npm ci", "npm"),
    ):
        if lock in tree.files:
            return Packages(command, "node_modules/.bin/", (tool, "node"))
    if tree.package("dependencies", "devDependencies"):
        return Packages("npm install", "node_modules/.bin/", ("npm", "node"))
    return Packages("", "", ("npm", "node"))


def node_has(tree: Tree, *names: str) -> str | None:
    """The first of these packages that package.json lists."""
    listed = tree.package("dependencies", "devDependencies")
    return next((name for name in names if name in listed), None)
