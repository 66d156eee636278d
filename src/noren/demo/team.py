"""The sample team: its repositories, and its settings for Noren.

Made by ``story`` in a folder of its own, which is all that the demo writes. The sites are built by a shell, the
application runs with Noren's own Python, and the documentation is built by ``pages``: nothing has to be installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from noren.demo.documentation import Documentation
from noren.demo.repository import Repository

SAMPLE = Path(__file__).with_name("sample")
SETTINGS = """\
# The demo's settings: short times, so that a story takes a minute and not an hour.
[server]
listen = ["127.0.0.1:{port}"]

[defaults]
keep_warm = "20s"
triggers = {{ poll = "500ms" }}
verify = {{ bake_time = "2s", min_requests = 20 }}

# Two sites of one repository.
[apps.website]
repo = "website"
build = "sh build.sh"
publish = "en"
watch = ["en", "*.*"]
hosts = ["website.localhost"]

[apps.website-jp]
repo = "website"
build = "sh build.sh"
publish = "jp"
watch = ["jp", "*.*"]
hosts = ["website-jp.localhost"]

# Noren's own documentation.
[apps.docs]
repo = "docs"
build = "exec '{python}' -P -m noren.demo.pages docs $NOREN_OUTPUT"
watch = ["docs"]
hosts = ["docs.localhost"]

# A web application, also as a path of the website.
[apps.demo]
repo = "demo"
run = "exec '{python}' -m uvicorn server:app --port $PORT --log-level warning"
hosts = ["demo.localhost", "website.localhost/demo"]
ready = {{ path = "/healthz", deadline = "5s" }}
"""


class Team:
    """The repositories and noren.toml in ``folder``; every app has its first commit."""

    def __init__(self, folder: Path, port: int) -> None:
        self.settings = folder / "noren.toml"
        self.settings.write_text(SETTINGS.format(port=port, python=sys.executable))
        self.website = self._sample(folder, "website")
        self.demo = self._sample(folder, "demo")
        self.documentation = Documentation(folder / "docs")
        self.orders = folder / ".noren" / "data" / "demo" / "orders.sqlite"

    def repository(self, name: str) -> Repository:
        """By its name in the settings."""
        return {"website": self.website, "demo": self.demo, "docs": self.documentation.repository}[name]

    def _sample(self, folder: Path, name: str) -> Repository:
        shutil.copytree(SAMPLE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        made = Repository.new(folder / name)
        made.commit({}, "The first version")
        return made
