"""Repositories laid out as the documentation of each tool tells a newcomer to, in our own few words.

``LAYOUTS``: name → (files, apps that must come of it as lines of the settings, tools that they need).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field


def package(scripts: dict[str, str], *dependencies: str, dev: tuple[str, ...] = ()) -> str:
    """A package.json."""
    listed = {"dependencies": dict.fromkeys(dependencies, "^1"), "devDependencies": dict.fromkeys(dev, "^1")}
    return json.dumps({"name": "x", "scripts": scripts, **listed})


@dataclass(frozen=True)
class Layout:
    """``apps``: name → the keys that matter; ``builds``: all it needs is on a machine that has ``tools``."""

    files: dict[str, str]
    apps: dict[str, dict[str, str]]
    tools: tuple[str, ...] = ()
    builds: bool = False
    says: str = ""
    settings: tuple[str, ...] = field(default=())


NODE_SERVER = """\
const http = require("node:http");
http.createServer((_, answer) => answer.end("ok")).listen(process.env.PORT, "127.0.0.1");
"""
GO_SERVER = """\
package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok")) })
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}
"""

LAYOUTS = {
    "hugo-quickstart": Layout(
        {
            "hugo.toml": 'baseURL = "https://example.org/"\ntitle = "First"\n',
            "content/posts/one.md": "---\ntitle: One\n---\nHello\n",
            "layouts/index.html": "<h1>{{ .Site.Title }}</h1>",
            "archetypes/default.md": "---\n---\n",
        },
        {"hugo-quickstart": {"build": 'hugo --minify --destination "$NOREN_OUTPUT"'}},
        tools=("hugo",),
        builds=True,
    ),
    "hugo-old-config": Layout(
        {
            "config.toml": 'baseURL = "/"\ntitle = "Old"\n',
            "content/a.md": "a",
            "layouts/index.html": "<h1>old</h1>",
            ".gitmodules": "",
        },
        {"hugo-old-config": {"build": 'hugo --minify --destination "$NOREN_OUTPUT"'}},
        tools=("hugo",),
        builds=True,
        settings=("submodules = true",),
    ),
    "html5-boilerplate": Layout(
        {"index.html": "<h1>hello</h1>", "404.html": "no", "css/style.css": "", "js/app.js": "", "robots.txt": ""},
        {"html5-boilerplate": {}},
        builds=True,
    ),
    "html-in-a-folder": Layout(
        {"README.md": "x", "public/index.html": "<h1>hello</h1>"}, {"public": {"root": "public"}}, builds=True
    ),
    "mkdocs-getting-started": Layout(
        {"mkdocs.yml": "site_name: My Docs\n", "docs/index.md": "# Hello\n", "docs/about.md": "x"},
        {
            "mkdocs-getting-started": {
                "build": "python3 -m venv .venv && .venv/bin/pip install mkdocs && "
                '.venv/bin/mkdocs build --site-dir "$NOREN_OUTPUT"'
            }
        },
        tools=("python3",),
    ),
    "mkdocs-material": Layout(
        {
            "mkdocs.yml": "site_name: X\ntheme:\n  name: material\n",
            "docs/index.md": "x",
            "requirements.txt": "mkdocs-material==9\n",
        },
        {
            "mkdocs-material": {
                "build": "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && "
                '.venv/bin/mkdocs build --site-dir "$NOREN_OUTPUT"'
            }
        },
        tools=("python3",),
    ),
    "zensical-new": Layout(
        {"zensical.toml": '[project]\nsite_name = "Docs"\nsite_dir = "out"\n', "docs/index.md": "# Hi\n"},
        {
            "zensical-new": {
                "build": "python3 -m venv .venv && .venv/bin/pip install zensical && "
                '.venv/bin/zensical build --clean && cp -R out/. "$NOREN_OUTPUT"'
            }
        },
        tools=("python3",),
    ),
    "jekyll-step-by-step": Layout(
        {
            "_config.yml": "title: x\n",
            "Gemfile": 'gem "jekyll"\n',
            "_layouts/default.html": "",
            "index.html": "---\n---\n",
        },
        {
            "jekyll-step-by-step": {
                "build": "bundle config set --local path vendor/bundle && bundle install && "
                'bundle exec jekyll build --destination "$NOREN_OUTPUT"'
            }
        },
        tools=("bundle",),
    ),
    "eleventy-base-blog": Layout(
        {
            "package.json": package({"build": "npx @11ty/eleventy"}, dev=("@11ty/eleventy",)),
            "package-lock.json": "{}",
            "eleventy.config.js": "",
            "index.md": "x",
        },
        {"eleventy-base-blog": {"build": 'npm ci && node_modules/.bin/eleventy --output="$NOREN_OUTPUT"'}},
        tools=("npm", "node"),
    ),
    "astro-minimal": Layout(
        {
            "package.json": package({"build": "astro check && astro build"}, "astro"),
            "pnpm-lock.yaml": "",
            "astro.config.mjs": "",
            "src/pages/index.astro": "",
        },
        {
            "astro-minimal": {
                "build": "pnpm install --frozen-lockfile && node_modules/.bin/astro check && "
                'node_modules/.bin/astro build --outDir "$NOREN_OUTPUT"'
            }
        },
        tools=("pnpm", "node"),
    ),
    "vite-react-ts": Layout(
        {
            "package.json": package({"build": "tsc -b && vite build"}, "react", dev=("vite",)),
            "yarn.lock": "",
            "index.html": "",
            "src/main.tsx": "",
        },
        {
            "vite-react-ts": {
                "build": "yarn install --frozen-lockfile && node_modules/.bin/tsc -b && "
                'node_modules/.bin/vite build --outDir "$NOREN_OUTPUT" --emptyOutDir'
            }
        },
        tools=("yarn", "node"),
        settings=('# static.fallback = "index.html"',),
    ),
    "django-polls": Layout(
        {
            "manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")\n',
            "mysite/settings.py": 'STATIC_ROOT = "static"\n',
            "mysite/wsgi.py": "",
            "polls/views.py": "",
            "requirements.txt": "django\ngunicorn\n",
        },
        {
            "django-polls": {
                "build": "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && "
                ".venv/bin/python manage.py collectstatic --noinput",
                "run": ".venv/bin/gunicorn mysite.wsgi --bind 127.0.0.1:$PORT",
                "ready": "/",
            }
        },
        tools=("python3",),
        says="ALLOWED_HOSTS",
    ),
    "fastapi-bigger-app": Layout(
        {
            "app/__init__.py": "",
            "app/main.py": 'from fastapi import FastAPI\napp = FastAPI()\n@app.get("/items/{id}")\ndef item(): ...\n'
            '@app.get("/health")\ndef health(): ...\n',
            "uv.lock": "",
            "pyproject.toml": "",
            "tests/test_main.py": "app = FastAPI()\n",
        },
        {
            "fastapi-bigger-app": {
                "build": "uv sync --frozen --no-dev",
                "run": ".venv/bin/uvicorn app.main:app --host 127.0.0.1 --port $PORT",
                "ready": "/health",
            }
        },
        tools=("uv",),
    ),
    "flaskr": Layout(
        {
            "flaskr/__init__.py": "from flask import Flask\ndef create_app():\n    app = Flask(__name__)\n"
            '    @app.route("/hello")\n    def hello(): ...\n    return app\n',
            "pyproject.toml": '[project]\nname = "flaskr"\ndependencies = ["flask"]\n',
        },
        {
            "flaskr": {
                "build": "python3 -m venv .venv && .venv/bin/pip install .",
                "run": ".venv/bin/flask --app flaskr run --port $PORT",
                "ready": "/hello",
            }
        },
        tools=("python3",),
        says="server for development",
    ),
    "express-hello": Layout(
        {
            "package.json": package({"start": "node app.js"}, "express"),
            "package-lock.json": "{}",
            "app.js": 'app.get("/", hello)\napp.listen(3000)\n',
        },
        {"express-hello": {"build": "npm ci", "run": "node app.js", "ready": "/"}},
        tools=("npm", "node"),
        says="must listen on process.env.PORT",
    ),
    "node-without-packages": Layout(
        {"package.json": package({"start": "node server.js"}), "server.js": NODE_SERVER},
        {"node-without-packages": {"run": "node server.js", "ready": "/"}},
        tools=("node",),
        builds=True,
    ),
    "go-service": Layout(
        {"go.mod": "module example.org/service\n\ngo 1.19\n", "cmd/service/main.go": GO_SERVER, "README.md": ""},
        {"go-service": {"build": "go build -o app ./cmd/service", "run": "./app", "ready": "/healthz"}},
        tools=("go",),
        builds=True,
    ),
    "docker-rust": Layout(
        {
            "Dockerfile": "FROM rust:1 AS build\nCOPY . .\nRUN cargo build --release\n\nFROM debian:stable-slim\n"
            "# What it needs\nRUN apt-get update && \\\n    apt-get install -y libssl3\nEXPOSE 8080\n"
            'ENTRYPOINT ["./server"]\nCMD ["--listen", "0.0.0.0:8080"]\n',
            "Cargo.toml": "",
            "src/main.rs": "",
        },
        {"docker-rust": {"run": "./server --listen 127.0.0.1:$PORT", "ready": "/"}},
        says="apt-get update && apt-get install -y libssl3",
    ),
    "docker-python-bottle": Layout(
        {
            "Dockerfile": "FROM python:3.12-slim\nWORKDIR /app\nCOPY requirements.txt .\n"
            "RUN pip install --no-cache-dir -r requirements.txt\nCOPY . .\nCMD python app.py\n",
            "requirements.txt": "bottle\n",
            "app.py": "import bottle\n",
        },
        {
            "docker-python-bottle": {
                "build": "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
                "run": ".venv/bin/python app.py",
            }
        },
        tools=("python3",),
        says="does not run containers yet",
    ),
    "docker-without-packages": Layout(
        {
            "Containerfile": "FROM python:3.12-slim\nCOPY . .\nEXPOSE 8000\n"
            'CMD ["python3", "-m", "http.server", "8000"]\n',
            "page.txt": "hello",
        },
        {"docker-without-packages": {"run": "python3 -m http.server $PORT", "ready": "/"}},
        tools=("python3",),
        builds=True,
    ),
    "service-with-docs": Layout(
        {
            "package.json": package({"start": "node server.js"}),
            "server.js": NODE_SERVER,
            "docs/hugo.toml": 'baseURL = "/"\n',
            "docs/layouts/index.html": "<h1>docs</h1>",
            "docs/content/a.md": "a",
        },
        {"service-with-docs": {"run": "node server.js"}, "docs": {"root": "docs"}},
        tools=("node", "hugo"),
        builds=True,
    ),
}
