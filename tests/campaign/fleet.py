"""What a campaign upgrades and loads: two process apps, a static site, and an app that is never touched.

``uvicorn`` closes idle connections after a second, so that requests meet that close; ``still`` is the bystander, whose
long connections must outlive everything that happens to the others.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from noren.prove.checks import names_its_release
from noren.prove.downloads import Downloads
from noren.prove.hostile import Hostile
from noren.prove.http2 import Http2
from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.ledger import Ledger
from noren.prove.load import Load
from noren.prove.orders import Once, each_order, exactly_once
from noren.prove.race import KeepAliveRace
from noren.prove.request import Target, gets, mix, posts
from noren.prove.sockets import WebSockets
from noren.prove.streams import Streams
from noren.prove.uploads import Uploads
from tests.daemon import Daemon, Repository
from tests.proofs.ledger_app import COMMANDS, EXAMPLE
from tests.proofs.markers import Markers

TOML = f"""
[server]
listen = ["127.0.0.1:{{port}}"]

[defaults]
triggers  = {{ poll = "1s" }}
verify    = {{ bake_time = "1s" }}
keep      = 5
keep_warm = "500ms"

[apps.uvicorn]
repo  = "uvicorn"
build = "sh build.sh"
run   = "{COMMANDS["uvicorn"]} --timeout-keep-alive 1"
ready = {{ path = "/healthz", interval = "100ms", timeout = "5s" }}
hosts = ["uvicorn.example"]

[apps.simple]
repo  = "simple"
build = "sh build.sh"
run   = "{COMMANDS["simple"]}"
ready = {{ path = "/healthz", interval = "100ms", timeout = "5s" }}
hosts = ["simple.example"]

[apps.site]
repo  = "site"
build = "sh build.sh"
hosts = ["site.example"]

[apps.still]
repo  = "still"
run   = "{COMMANDS["uvicorn"]}"
ready = "/healthz"
hosts = ["still.example"]
triggers = {{ poll = "30s" }}
"""
BUILDS = {"site": "cp index.html $NOREN_OUTPUT"}
CHANGED = ("uvicorn", "simple", "site")
BYSTANDER = "still"
MIXED = mix(0.7, gets("/", "/hello"), posts())
MB = 1_000_000


class Fleet:
    """The daemon and a repository for each app."""

    def __init__(self, folder: Path) -> None:
        self.repositories = {app: Repository(folder / app) for app in (*CHANGED, BYSTANDER)}
        self.noren = Daemon(folder, TOML)
        self.markers = Markers()
        self._numbers = dict.fromkeys(self.repositories, 0)
        self._pages: dict[str, str] = {}

    def begin(self) -> None:
        """The first release of each app."""
        for app, repository in self.repositories.items():
            if app != "site":
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(EXAMPLE, repository.path, dirs_exist_ok=True, ignore=ignore)
            self.commit(app)
        self.noren.up()
        for app in self.repositories:
            self.noren.kept(app, self.repositories[app].tip(), timeout=120)

    def commit(self, app: str, **files: str | None) -> str:
        """A good revision, or what ``files`` make of it."""
        self._numbers[app] += 1
        text = f"{app} {self._numbers[app]}"
        good = {"build.sh": BUILDS.get(app, ":"), "faults": "", "VERSION": text}
        pages = {"index.html": f"<!doctype html><p>[marker {text}]</p>"} if app == "site" else {}
        revision = self.repositories[app].commit({**good, **pages, **files})
        if app == "site":
            self._pages[revision] = text
        return revision

    def contradictions(self) -> list[str]:
        """Releases of the site that served another page than was committed for them."""
        rows = self.noren.client.releases("site")
        return self.markers.contradictions({f"site@{r['release']}": self._pages[r["revision"]] for r in rows})

    def target(self, app: str) -> Target:
        """The app through the public listener."""
        return Target(port=self.noren.port, host=f"{app}.example", app=app)

    def loads(self, share: float) -> list[Load]:
        """About 1,000 requests a second times ``share``."""
        simple = self.target("simple")
        return [
            *self._orders("uvicorn", 60 * share, 120 * share),
            *self._orders("simple", 60 * share, 100 * share),
            KeepAliveRace(
                name="L3 uvicorn",
                target=self.target("uvicorn"),
                idle=1.0,
                clients=max(1, round(20 * share)),
                check=names_its_release,
            ),
            *self._long("uvicorn", share),
            NewConnection(name="L1 site", target=self.target("site"), rate=150 * share, check=self.markers),
            KeepAlive(name="L2 site", target=self.target("site"), rate=250 * share, check=self.markers),
            Http2(name="L7 site", target=self.target("site"), rate=100 * share, check=self.markers),
            Http2(name="L7 simple", target=simple, rate=30 * share, requests=MIXED, check=names_its_release),
            *self._bystander(share),
        ]

    def _orders(self, app: str, fresh: float, kept: float) -> list[Load]:
        target = self.target(app)
        return [
            NewConnection(name=f"L1 {app}", target=target, rate=fresh, check=names_its_release),
            KeepAlive(name=f"L2 {app}", target=target, rate=kept, requests=MIXED, check=names_its_release),
        ]

    def _long(self, app: str, share: float) -> list[Load]:
        target = self.target(app)
        return [
            Streams(name="L4", target=target, rate=share, events=30, interval=0.1),
            Uploads(name="L5 up", target=target, rate=0.3 * share, size=3 * MB, speed=2 * MB),
            Downloads(name="L5 down", target=target, rate=0.3 * share, size=3 * MB, speed=2 * MB),
            Hostile(name="L8", target=target, rate=2 * share, patience=2.0, check=names_its_release),
        ]

    def _bystander(self, share: float) -> list[Load]:
        target = self.target(BYSTANDER)
        return [
            KeepAlive(name="L9", target=target, rate=100 * share, requests=MIXED, check=names_its_release),
            WebSockets(name="L6", target=target, clients=max(1, round(20 * share))),
        ]

    def once(self, ledger: Ledger) -> Once:
        """What all apps executed beside what their clients were told."""
        files = [self.noren.state / "data" / app / "ledger" for app in self.repositories]
        return exactly_once(ledger, (order for file in files for order in each_order(file)))
