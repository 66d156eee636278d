"""What is told of a release that does not work: each mistake by its own words, and what to try.

"Did not become ready" alone would be a failure of Noren: users of such tools lost days to it.
Real processes, builds and repositories, all under one daemon.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

from tests.daemon import Daemon, Repository, free_port, no_leftovers
from tests.mistakes.servers import server

RUN = 'run = "python3 app.py"\n'
OTHER, CLOSED = free_port(), free_port()


SETTINGS = """\
[server]
listen = ["127.0.0.1:{port}"]
builds = 4
[defaults]
triggers = { poll = "1s" }
ready = { deadline = "6s", timeout = "500ms" }
"""


@dataclass(frozen=True)
class Mistake:
    """``words`` must all be told; ``source``: it is an event of the source, for there is no release."""

    name: str
    words: tuple[str, ...]
    settings: str = RUN
    files: dict[str, str] = field(default_factory=dict[str, str])
    repo: str | None = None
    source: bool = False


def app(name: str, *words: str, settings: str = "", **code: str) -> Mistake:
    """A mistake in the code or the settings of a server."""
    return Mistake(name, words, RUN + settings, {"app.py": server(**code)})


def site(name: str, *words: str, settings: str = "", files: dict[str, str] | None = None) -> Mistake:
    """A mistake in a static site."""
    return Mistake(name, words, settings, {"index.html": "hello", **(files or {})})


MISTAKES = (
    app("wrong-port", f"listens on 127.0.0.1:{OTHER}", "but $PORT is", "let the app listen on $PORT", port=str(OTHER)),
    app("ipv6-only", "listens on [::1]:", "only, not on 127.0.0.1", "bind 127.0.0.1", bind="::1", family="AF_INET6"),
    app(
        "redirect-loop",
        "answered 301 to /login",
        "redirects are not followed",
        "`ready.path`",
        answer='self.give(301, Location="/login")',
    ),
    app(
        "host-check",
        "answered 400, perhaps because of the host",
        "the probe sent Host: host-check.example",
        "`ready.host`",
        answer='self.give(400, b"Invalid HTTP_HOST header: DisallowedHost")',
    ),
    app("slow-boot", "listens on nothing yet", "raise `ready.deadline`", before="time.sleep(60)"),
    app(
        "crash",
        "exited with code 3",
        "no database at db.internal",
        before="sys.exit(print('no database at db.internal') or 3)",
    ),
    app("missing-variable", "exited with code 1", "KeyError: 'DATABASE_URL'", before='os.environ["DATABASE_URL"]'),
    app(
        "not-found",
        "answered 404",
        "set `ready.path`",
        "instead of /healthz",
        settings='ready = "/healthz"\n',
        answer="self.give(404)",
    ),
    app(
        "error",
        "answered 500",
        "relation users does not exist",
        answer='self.give(500, b"relation users does not exist")',
    ),
    app("wants-login", "answered 401", "without one", "`ready.path`", answer="self.give(401)"),
    app("wrong-body", "without 'ready'", "`ready.body`", settings='ready = { body = "ready" }\n'),
    app("never-answers", "no complete answer within 0.5 s", "raise `ready.timeout`", answer="time.sleep(60)"),
    app("ends-in-background", "exited with code 0", "must stay in the foreground", before="os._exit(0)"),
    app(
        "memory",
        "exited with code 137",
        "`limits.memory`",
        settings='limits = { memory = "60MB" }\n',
        before="x = b'x' * 10**9",
    ),
    Mistake(
        "missing-binary", ("gunicornx", "missing or not executable", "PATH="), 'run = "gunicornx app:app"\n', {"a": ""}
    ),
    Mistake("no-module", ("No module named", "nosuchmodule"), 'run = "python3 -m nosuchmodule"\n', {"a": ""}),
    Mistake("no-file", ("app.py", "No such file"), RUN, {"a": ""}),
    Mistake("not-executable", ("./start", "missing or not executable"), 'run = "./start"\n', {"start": "#!/bin/sh\n"}),
    Mistake(
        "wrong-root",
        ("no folder 'sites' for root", "'site'", "set `root`"),
        'root = "sites"\nwatch = ["**"]\n',
        {"site/index.html": ""},
    ),
    Mistake("root-without-commits", ("no commit", "sites"), 'root = "sites"\n', {"site/index.html": ""}, source=True),
    Mistake("wrong-branch", ("no branch", "master", "main"), 'branch = "master"\n', {"index.html": ""}, source=True),
    site(
        "empty-output",
        "left nothing to serve",
        "write the site to $NOREN_OUTPUT",
        settings='build = "mkdir public; cp index.html public"\n',
    ),
    site(
        "missing-tool",
        "hugox: not found",
        "exit code 127",
        "install the missing command",
        settings='build = "hugox --destination $NOREN_OUTPUT"\n',
    ),
    site(
        "build-fails", "exit code 2", "template not found", settings="build = \"echo 'template not found'; exit 2\"\n"
    ),
    site(
        "build-hangs",
        "took longer than 1 s",
        "raise `build.timeout`",
        settings='build = { run = "sleep 60", timeout = "1s" }\n',
    ),
    site("wrong-publish", "no folder 'public' for publish", "set `publish`", settings='publish = "public"\n'),
    site(
        "secret-file",
        "is a link to '/etc/passwd'",
        "copy the file",
        settings='build = "ln -s /etc/passwd $NOREN_OUTPUT/index.html"\n',
    ),
    Mistake("no-repository", ("there is no repository", "nowhere"), RUN, repo="../nowhere", source=True),
    Mistake("no-host", ("has no address", "name servers"), RUN, repo="https://no-such-host.invalid/x.git", source=True),
    Mistake("no-server", ("cannot be reached",), RUN, repo=f"https://127.0.0.1:{CLOSED}/x.git", source=True),
)


@pytest.fixture(scope="module")
def noren(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon]:
    """A daemon with an app for each mistake."""
    folder = tmp_path_factory.mktemp("mistakes")
    toml = [SETTINGS]
    for mistake in MISTAKES:
        repo = mistake.repo or f"repos/{mistake.name}"
        toml.append(f'[apps.{mistake.name}]\nrepo = "{repo}"\nhosts = ["{mistake.name}.example"]\n{mistake.settings}')
        if mistake.repo is None:
            Repository(folder / "repos" / mistake.name).commit(dict(mistake.files))
    with no_leftovers(folder), Daemon(folder, "\n".join(toml)) as daemon:
        yield daemon
    shutil.rmtree(folder)


def told(noren: Daemon, mistake: Mistake) -> str:
    """What a person reads: of the release, else of the source."""
    if not mistake.source:
        return noren.until(lambda: reason(noren, mistake.name), f"an outcome of {mistake.name}", 40)
    return noren.until(lambda: problem(noren, mistake.name), f"a word about the source of {mistake.name}", 40)


def reason(noren: Daemon, name: str) -> str:
    releases = noren.client.releases(name)
    return str(releases[0]["reason"] or "") if releases else ""


def problem(noren: Daemon, name: str) -> str:
    return "\n".join(line["text"] for line in noren.client.events(name, -20) if line["kind"] == "source")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_in_words_that_name_it(noren: Daemon, mistake: Mistake) -> None:
    said = told(noren, mistake)
    print(f"{mistake.name}: {said}")
    missing = [word for word in mistake.words if word not in said]
    assert not missing, said
    assert bool(noren.status(mistake.name)["source_problem"]) is mistake.source
