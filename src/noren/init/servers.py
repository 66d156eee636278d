"""Recognises what answers requests by itself, how it is told its port, and what to ask it.

The commands and their options are those of each framework's own documentation. Used by ``survey``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from noren.init import packages
from noren.init.recognised import Recognised
from noren.init.tree import Tree

_ADDRESS = "127.0.0.1:$PORT"
_HEALTH = re.compile(r"/(?:health|healthz|ready|readyz|status|up|ping|livez)/?", re.IGNORECASE)
_DEVELOPMENT = "This is the framework's server for development: add gunicorn to the requirements, then run that."


def django(tree: Tree) -> Recognised | None:
    """manage.py that names a settings module."""
    module = re.search(r"DJANGO_SETTINGS_MODULE[\"'],\s*[\"']([\w.]+)", tree.text("manage.py"))
    if module is None:
        return None
    package = module[1].split(".")[0]
    installed = packages.python(tree, "django")
    build, run, notes = (
        installed.install,
        f"{installed.bin}python manage.py runserver --noreload {_ADDRESS}",
        [_DEVELOPMENT],
    )
    if tree.mentions("gunicorn", packages.PYTHON_FILES):
        run, notes = f"{installed.bin}gunicorn {package}.wsgi --bind {_ADDRESS}", []
    if "STATIC_ROOT" in tree.text(f"{module[1].replace('.', '/')}.py"):
        build += f" && {installed.bin}python manage.py collectstatic --noinput"
    notes.append("Its host must be in ALLOWED_HOSTS, and a database file belongs into the folder $NOREN_DATA.")
    return Recognised(
        what="a Django project",
        why="manage.py",
        build=build,
        run=run,
        ready="/",
        tools=installed.tools,
        notes=tuple(notes),
    )


def fastapi(tree: Tree) -> Recognised | None:
    """A module that makes a FastAPI."""
    found = _made_in(tree, "FastAPI")
    if found is None:
        return None
    file, name = found
    installed = packages.python(tree, "fastapi", "uvicorn")
    return Recognised(
        what="a FastAPI app",
        why=f"{name} = FastAPI() in {file}",
        build=installed.install,
        run=f"{installed.bin}uvicorn {_module(file)}:{name} --host 127.0.0.1 --port $PORT",
        ready=_asked(tree.text(file), r"@\w+\.get\(\s*[\"']([^\"'{]+)[\"']", "/openapi.json"),
        tools=installed.tools,
    )


def flask(tree: Tree) -> Recognised | None:
    """A module that makes a Flask, by itself or in create_app."""
    found = _made_in(tree, "Flask")
    if found is None:
        return None
    file, name = found
    installed = packages.python(tree, "flask")
    module = _module(file)
    factory = bool(re.search(r"^def create_app\(", tree.text(file), re.MULTILINE))
    run, notes = f"{installed.bin}flask --app {module} run --port $PORT", (_DEVELOPMENT,)
    if tree.mentions("gunicorn", packages.PYTHON_FILES):
        run, notes = f"{installed.bin}gunicorn '{module}:{'create_app()' if factory else name}' --bind {_ADDRESS}", ()
    ready = _asked(tree.text(file), r"@\w+\.(?:route|get)\(\s*[\"']([^\"'<]+)[\"']", "/")
    why = f"Flask() in {file}"
    return Recognised(
        what="a Flask app", why=why, build=installed.install, run=run, ready=ready, tools=installed.tools, notes=notes
    )


def node(tree: Tree) -> Recognised | None:
    """A start script of package.json, or a file that listens."""
    start = tree.package("scripts").get("start", "")
    file = _file(start) or tree.first("server.js", "app.js", "index.js", "src/index.js", "server.mjs", "index.mjs")
    text = tree.text(file or "")
    listens = re.search(r"\.listen\(|\bserve\(", text)
    if "package.json" not in tree.files or not (
        listens or (start and not re.search(r"\b(vite|astro|eleventy)\b", start))
    ):
        return None
    installed = packages.node(tree)
    build = " && ".join(part for part in (installed.install, _built(tree)) if part) or None
    run = f"node {file}" if file and (not start or _file(start)) else f"{installed.tools[0]} start"
    notes = () if not text or "process.env.PORT" in text else (f"{file} must listen on process.env.PORT.",)
    ready = _asked(text, r"\.get\(\s*[\"'`]([^\"'`:*]+)[\"'`]", "/")
    why = '"start" of package.json' if start else str(file)
    tools = tuple(tool for tool in installed.tools if tool == "node" or tool in f"{build} {run}")
    return Recognised(what="a Node server", why=why, build=build, run=run, ready=ready, tools=tools, notes=notes)


def go(tree: Tree) -> Recognised | None:
    """go.mod and a main package that serves HTTP."""
    if "go.mod" not in tree.files:
        return None
    for file in tree.ending("main.go"):
        text = tree.text(file)
        if re.search(r"^package main", text, re.MULTILINE) and re.search(r"net/http|gin-gonic|echo|fiber|chi", text):
            folder = file.rpartition("/")[0]
            notes = () if "PORT" in text else (f"{file} must listen on the port of the variable PORT.",)
            return Recognised(
                what="a Go server",
                why=f"go.mod and {file}",
                build=f"go build -o app ./{folder}".rstrip("/"),
                run="./app",
                ready=_asked(text, r"(?:HandleFunc|Handle|GET|Get)\(\s*[\"`](?:GET )?(/[^\"`{:]*)[\"`]", "/"),
                tools=("go",),
                notes=notes,
            )
    return None


def _made_in(tree: Tree, maker: str) -> tuple[str, str] | None:
    """The shallowest file with ``name = Maker(``, and that name."""
    for file in tree.ending(".py"):
        found = re.search(rf"^\s*(\w+)(?::\s*\w+)?\s*=\s*(?:\w+\.)?{maker}\(", tree.text(file), re.MULTILINE)
        if found:
            return file, found[1]
    return None


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _asked(text: str, pattern: str, otherwise: str) -> str:
    """A path that the source answers: one that is named for it, else /, else the first."""
    paths = [path for path in re.findall(pattern, text) if path.startswith("/")]
    named = [path for path in paths if _HEALTH.fullmatch(path)]
    home = ["/"] if "/" in paths else paths
    return next(iter(named or home), otherwise)


def _file(start: str) -> str | None:
    """The file of ``node server.js``."""
    found = re.fullmatch(r"node (?:--[\w=-]+ )*(?:\./)?([\w./-]+)", start.strip())
    return found[1] if found else None


def _built(tree: Tree) -> str:
    return f"{packages.node(tree).tools[0]} run build" if "build" in tree.package("scripts") else ""


SERVERS: tuple[Callable[[Tree], Recognised | None], ...] = (django, fastapi, flask, node, go)
