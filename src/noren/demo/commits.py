"""The commits of the story: what each changes, and what must become of it.

Data; ``story`` pushes them in this order.
"""

from __future__ import annotations

from dataclasses import dataclass

from noren.demo.team import Team

SITES = ("website", "website-jp")
APPS = (*SITES, "docs", "demo")


@dataclass(frozen=True, slots=True)
class Commit:
    """``old`` becomes ``new`` in a file of a repository, and ``outcome`` of the ``apps``.

    ``harm``: it answers badly until that is noticed, so it costs requests. What is not kept is put right by the next
    commit to the same repository. Without ``file`` it is the next commit of the repository's own history.
    """

    repo: str
    message: str
    file: str
    old: str
    new: str
    apps: tuple[str, ...]
    outcome: str = "kept"
    harm: bool = False

    def push(self, team: Team) -> tuple[str, str] | None:
        """Commit it; the new revision and its subject, None when the history has no more."""
        if not self.file:
            return team.documentation.advance()
        repository = team.repository(self.repo)
        before = repository.read(self.file)
        if self.old not in before:
            raise ValueError(f"{self.file} of {self.repo} has no {self.old!r}")
        revision = repository.commit({self.file: before.replace(self.old, self.new, 1)}, self.message)
        if self.outcome != "kept":
            (repository.path / self.file).write_text(before)
        return revision, self.message


_DOCS = Commit("docs", "", "", "", "", ("docs",))
_PAGE = 'return FileResponse(Path(__file__).with_name("page.html"))'
_API = "async def api(request: Request) -> Response:\n"
_READY = 'return PlainTextResponse("ok")'
_START = 'with orders() as database:\n    database.execute("PRAGMA'
_EXIT = "    import threading\n\n    threading.Timer(0.5, os._exit, [1]).start()\n"

# The commits of a chapter are pushed together; all have their outcome before the next chapter.
STORY: tuple[tuple[str, tuple[Commit, ...]], ...] = (
    (
        "A good day: three repositories get a commit each.",
        (
            Commit("website", "Hello, spring", "en/title", "Hello", "Hello, spring", ("website",)),
            _DOCS,
            Commit("demo", "Say what the page is", "page.html", "The demo app", "The team's demo app", ("demo",)),
        ),
    ),
    (
        "One site of two in a repository changes; the other is left alone.",
        (
            Commit("website", "春の見出し", "jp/title", "こんにちは", "こんにちは、春", ("website-jp",)),
            _DOCS,
        ),
    ),
    (
        "A bad day. Builds that fail and an application that crashes at its start: nothing of them is ever served.",
        (
            Commit(
                "website",
                "A new template",
                "build.sh",
                "set -e\n",
                "echo 'no such template: spring' >&2\nexit 3\n",
                SITES,
                "failed",
            ),
            Commit("docs", "Link to a page to come", "docs/index.md", "\n", "\n[Soon](soon.md)\n", ("docs",), "failed"),
            Commit(
                "demo",
                "Move the database",
                "server.py",
                _START,
                "raise SystemExit('no database at db.internal:5432')\n" + _START,
                ("demo",),
                "aborted",
            ),
        ),
    ),
    (
        "A build that leaves nothing, and an application that is never ready.",
        (
            Commit(
                "website",
                "Build into public/",
                "build.sh",
                "set -e\n",
                "set -e\nNOREN_OUTPUT=public\n",
                SITES,
                "failed",
            ),
            Commit(
                "demo",
                "Wait for the cache",
                "server.py",
                _READY,
                'return PlainTextResponse("waiting for the cache", 503)',
                ("demo",),
                "aborted",
            ),
        ),
    ),
    (
        "Releases that looked ready: real traffic finds them out, and the one before them takes over again.",
        (Commit("demo", "Exit on errors", "server.py", _API, _API + _EXIT, ("demo",), "rolled_back", harm=True),),
    ),
    (
        "Another one.",
        (
            Commit(
                "demo",
                "A faster query",
                "server.py",
                "SELECT count(*)",
                "SELECT cuont(*)",
                ("demo",),
                "rolled_back",
                harm=True,
            ),
        ),
    ),
    (
        "All is mended.",
        (
            Commit("website", "Mend the build", "build.sh", "set -e\n", "set -eu\n", SITES),
            Commit("docs", "Take the link back", "docs/index.md", "\n", "\n\n", ("docs",)),
            Commit("demo", "Mend the demo", "page.html", "were taken", "have been taken", ("demo",)),
        ),
    ),
)
