"""Sites built by Hugo from one repository: commit after commit under load, and not one request lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from noren.prove.conditional import Conditional
from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.load import Load
from noren.prove.request import Target, gets
from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs import hugo
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.listener import Listener
from tests.proofs.markers import Markers

PAGES = 150  # in each of two languages
COMMITS_BEFORE = 1000
SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[defaults]
repo = "repo"
build = "hugo --quiet --minify --destination $NOREN_OUTPUT"
triggers = { poll = "500ms" }
BAKE
[apps.website]
root = "site"
publish = "en"
hosts = ["site.example"]
[apps.website-jp]
root = "site"
publish = "ja"
hosts = ["jp.site.example"]
[apps.docs]
root = "docs"
hosts = ["docs.example", "site.example/docs"]
[apps.untouched]
root = "plain"
build = { timeout = "1m" }
hosts = ["untouched.example"]
"""
OF_SITE, OF_DOCS = ("website", "website-jp"), ("docs",)


@dataclass
class Team:
    """The repository of a team, and what it committed: label of the release → marker of its pages."""

    repository: Repository
    noren: Daemon
    committed: dict[str, str] = field(default_factory=dict[str, str])

    def commit(self, number: int) -> None:
        """One commit to the site, the docs or both in turn; waits until it is kept."""
        roots = (("site",), ("docs",), ("site", "docs"))[number % 3]
        files: dict[str, str | None] = {}
        for root in roots:
            files |= hugo.marker(root, str(number)) | {
                f"{root}/content/en/page-{number}.md": hugo.page(number, f"edit {number}")
            }
        revision = self.repository.commit(files, f"Edit of {' and '.join(roots)}")
        for app in (OF_SITE if "site" in roots else ()) + (OF_DOCS if "docs" in roots else ()):
            row = self.noren.kept(app, revision)
            self.committed[f"{app}@{row['release']}"] = str(number)

    def first(self) -> None:
        """The first release of each app."""
        for app in (*OF_SITE, *OF_DOCS, "untouched"):
            self.noren.until(lambda app=app: self.noren.status(app)["last_good"], f"the first release of {app}")
            self.committed[f"{app}@1"] = "0"


def repository(path: Path) -> Repository:
    made = Repository(path)
    files = hugo.site("site", PAGES, languages=("en", "ja")) | hugo.site("docs", 20)
    files |= hugo.site("plain", 3) | {"README.md": "A team's repository.\n"}
    edits = [
        {f"site/content/{'en' if n % 2 else 'ja'}/page-{n % PAGES}.md": hugo.page(n % PAGES, f"history {n}")}
        for n in range(COMMITS_BEFORE)
    ]
    hugo.history(path, files, edits)
    return made


def loads(port: int, markers: Markers) -> list[Load]:
    """600 requests a second: new connections, kept-alive ones and conditional ones, on all four apps."""

    def to(app: str, host: str) -> Target:
        return Target(port=port, host=host, app=app)

    website, japanese = to("website", "site.example"), to("website-jp", "jp.site.example")
    docs, untouched = to("docs", "docs.example"), to("untouched", "untouched.example")
    paths = ("/", *(f"/page-{n}/" for n in range(10)))
    few = gets(*paths)
    return [
        NewConnection(name="new connections", target=website, rate=150, requests=few, check=markers),
        KeepAlive(name="kept alive", target=website, rate=150, connections=32, requests=few, check=markers),
        Conditional(name="conditional", target=website, rate=100, paths=paths, check=markers),
        KeepAlive(name="japanese", target=japanese, rate=100, connections=16, requests=few, check=markers),
        Conditional(name="docs", target=docs, rate=60, paths=paths, check=markers),
        KeepAlive(name="untouched", target=untouched, rate=40, connections=8, check=markers),
    ]


@sized("size", (4, 'verify = { bake_time = "2s" }'), (25, ""))
def test_no_commit_to_a_hugo_site_loses_a_request_or_shows_a_page_of_another_release(
    tmp_path: Path, size: tuple[int, str]
) -> None:
    commits, bake = size
    made = repository(tmp_path / "repo")
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS.replace("BAKE", bake)) as noren:
        team, markers = Team(made, noren), Markers()
        team.first()
        before = Listener.of(noren.port, noren.state)
        with Background(*loads(noren.port, markers)) as traffic:
            for number in range(1, commits + 1):
                team.commit(number)
        proof = traffic.proof
        figures = f"{proof.lost} lost in {proof.summary.requests} requests over {commits} commits"
        claim("commits to Hugo sites", figures, seed=proof.summary.seed)
        print("\n".join(proof.lines()))
        assert proof.lost == 0
        assert markers.contradictions(team.committed) == []
        assert set(markers.seen) == set(team.committed), "a release got no request"
        assert len(noren.client.releases("untouched")) == 1
        assert Listener.of(noren.port, noren.state) == before
