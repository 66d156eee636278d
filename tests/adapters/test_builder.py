"""The Builder port: real repositories, real processes that misbehave."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from repository import Repository

from noren.adapters import build_log, build_process, free_space
from noren.adapters.build_log import BuildLog, Mask
from noren.adapters.builder import Builds
from noren.adapters.cgroup import Cgroups
from noren.adapters.git import Git
from noren.adapters.removal import remove
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, Artifact, Build, Kind, Limits, build_key

INDEX = "echo hello >$NOREN_OUTPUT/index.html"


class Bench:
    """A state directory with a repository whose tip is in the mirror."""

    def __init__(self, path: Path) -> None:
        self.state = path / "state"
        self.origin = Repository(path / "origin")
        self.git = Git(self.state)
        self.revision = self.commit({"index.html": "in the tree", "docs/index.html": "docs"})

    def commit(self, files: dict[str, str]) -> str:
        self.revision = self.origin.commit(files)
        asyncio.run(self.git.commit(self.origin.app(), self.revision))
        return self.revision

    def builds(self, parallel: int = 2, min_free: int | None = 1) -> Builds:
        return Builds(self.state, self.git, parallel=parallel, min_free=min_free)

    def build(self, app: App) -> Artifact:
        return asyncio.run(self.builds().build(app, self.revision))

    def log(self, app: App) -> str:
        path = asyncio.run(self.builds().log(app, self.revision))
        assert path is not None
        return Path(path).read_text(errors="replace")

    def folder(self, app: App) -> Path:
        return self.state / "builds" / build_key(app, self.revision)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def marked(text: str) -> list[int]:
    """Processes with this text in their arguments."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += [int(entry.name)] if text.encode() in (entry / "cmdline").read_bytes() else []
            except OSError:
                continue
    return found


async def appears(path: Path) -> None:
    """Wait until a build wrote this file."""
    async with asyncio.timeout(10):
        while not path.exists():  # noqa: ASYNC110 - a build tells by files only
            await asyncio.sleep(0.02)


def test_a_static_build_keeps_the_output_and_not_the_tree(bench: Bench) -> None:
    app = bench.origin.site(INDEX)
    artifact = bench.build(app)
    assert Path(artifact.path, "index.html").read_text() == "hello\n"
    assert artifact.key == build_key(app, bench.revision)
    assert artifact.seconds > 0
    assert {entry.name for entry in bench.folder(app).iterdir()} == {"output", "built.json"}


def test_the_environment_of_a_build_is_the_contract_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOREN_ADMIN_TOKEN", "not for builds")
    run = f'tr "\\0" "\\n" </proc/$$/environ >$NOREN_OUTPUT/env; test -w "$HOME" && test -w "$TMPDIR" && {INDEX}'
    app = bench.origin.site(run, env=(("HUGO_ENV", "production"),), secrets=(("KEY", "s3cret"),))
    artifact = bench.build(app)
    seen = dict(line.split("=", 1) for line in Path(artifact.path, "env").read_text().splitlines())
    folder = bench.folder(app)
    seen.pop("PWD", None)
    assert seen == {
        "PATH": os.environ["PATH"],
        "HOME": f"{folder}/home",
        "LANG": "C.UTF-8",
        "TMPDIR": f"{folder}/tmp",
        "NOREN_OUTPUT": f"{folder}/output",
        "NOREN_REVISION": bench.revision,
        "NOREN_BUILD": str(folder),
        "HUGO_ENV": "production",
        "KEY": "s3cret",
    }


def test_a_build_starts_in_root_with_history_and_no_input(bench: Bench) -> None:
    bench.commit({"docs/index.html": "2"})
    run = "cat; git log --oneline -- index.html | wc -l >$NOREN_OUTPUT/index.html; pwd >$NOREN_OUTPUT/where"
    app = bench.origin.site(run, root="docs")
    artifact = bench.build(app)
    assert Path(artifact.path, "index.html").read_text().strip() == "2"
    assert Path(artifact.path, "where").read_text().strip() == f"{bench.folder(app)}/tree/docs"


def test_without_a_command_the_tree_is_served_but_never_its_history(bench: Bench) -> None:
    artifact = bench.build(bench.origin.app())
    assert sorted(entry.name for entry in Path(artifact.path).iterdir()) == ["docs", "index.html"]
    assert bench.build(bench.origin.app("docs", root="docs")).path.endswith("/tree/docs")


def test_one_build_is_shared_by_two_apps_that_publish_different_folders(bench: Bench) -> None:
    run = f"echo once; mkdir $NOREN_OUTPUT/jp; {INDEX}; cp $NOREN_OUTPUT/index.html $NOREN_OUTPUT/jp; sleep 0.3"
    english, japanese = bench.origin.site(run), bench.origin.site(run, "website-jp", publish="jp")

    async def both() -> tuple[Artifact, Artifact]:
        builds = bench.builds()
        return await asyncio.gather(*(builds.build(app, bench.revision) for app in (english, japanese)))

    one, other = asyncio.run(both())
    assert other.path == one.path + "/jp"
    assert bench.log(english) == "once\n"
    assert (one.seconds > 0) + (other.seconds > 0) == 1
    assert one.digest != other.digest
    missing = bench.origin.site(run, "website-fr", publish="fr")
    with pytest.raises(ReleaseError, match=r"no folder 'fr'") as caught:
        bench.build(missing)
    assert "jp" in caught.value.seen
    assert bench.build(english).digest == one.digest


def test_an_earlier_build_is_taken_again_after_a_restart(bench: Bench) -> None:
    app = bench.origin.site(f"date +%s%N >$NOREN_OUTPUT/now; {INDEX}")
    first, second = bench.build(app), bench.build(app)
    assert second == replace(first, seconds=0.0)


def test_the_digest_is_of_the_content(bench: Bench) -> None:
    same, also = (bench.build(bench.origin.site(f"{INDEX}; : {number}")) for number in (1, 2))
    assert same.key != also.key
    assert same.digest == also.digest
    assert bench.build(bench.origin.site(f"{INDEX}; echo x >$NOREN_OUTPUT/x")).digest != same.digest


def test_a_process_keeps_its_tree_and_runs_in_root_or_in_the_output(bench: Bench) -> None:
    app = bench.origin.site("echo made >made", root="docs", kind=Kind.PROCESS, run="serve")
    artifact = bench.build(app)
    assert artifact.path == f"{bench.folder(app)}/tree/docs"
    assert Path(artifact.path, "made").exists()
    again = bench.build(replace(app, env=(("OTHER", "key"),)))
    assert (again.key != artifact.key, again.digest) == (True, artifact.digest), "the digest is of the content"
    filled = bench.build(replace(app, build=Build(run="echo x >$NOREN_OUTPUT/server")))
    assert filled.path.endswith("/output")
    assert bench.build(replace(app, build=Build())).path.endswith("/tree/docs")


def test_a_failed_build_says_how_it_ended_and_keeps_the_log_alone(bench: Bench) -> None:
    app = bench.origin.site("seq 100; echo no theme >&2; exit 3")
    with pytest.raises(ReleaseError, match=f"build of website at {bench.revision[:7]} failed: exit code 3") as caught:
        bench.build(app)
    assert not isinstance(caught.value, OutsideError)
    lines = caught.value.seen.splitlines()
    assert (len(lines), lines[-1], lines[0]) == (15, "no theme", "87")
    assert not bench.folder(app).exists()
    assert bench.log(app).startswith("1\n2\n")


def test_empty_submodule_folders_are_named(bench: Bench, tmp_path: Path) -> None:
    theme = Repository(tmp_path / "theme")
    theme.commit({"theme.css": "body{}"})
    bench.origin.git("submodule", "--quiet", "add", "--", "../theme", "themes/hue")
    bench.commit({"x": "1"})
    for run in ("cat themes/hue/theme.css", "true"):
        with pytest.raises(ReleaseError) as caught:
            bench.build(bench.origin.site(run))
        assert "'themes/hue'" in caught.value.hint
        assert "submodules = true" in caught.value.hint
    assert bench.build(bench.origin.site(f"cat themes/hue/theme.css && {INDEX}", submodules=True))


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("true", "nothing to serve"),
        ("echo >$NOREN_OUTPUT/home.html", "no index.html"),
        (f"{INDEX}; ln -s /etc/passwd $NOREN_OUTPUT/users", "may not be served"),
        (f"{INDEX}; ln -s .. $NOREN_OUTPUT/up", "may not be served"),
        (f"{INDEX}; ln -s ../../../../../../nowhere $NOREN_OUTPUT/later", "may not be served"),
        (f"{INDEX}; mkfifo $NOREN_OUTPUT/pipe", "may not be served"),
        (
            "ln -s /etc $NOREN_OUTPUT/etc; rmdir $NOREN_OUTPUT 2>/dev/null; ln -s /etc/passwd $NOREN_OUTPUT/index.html",
            "may",
        ),
    ],
)
def test_what_is_no_site_is_the_releases_own_fault(bench: Bench, run: str, told: str) -> None:
    with pytest.raises(ReleaseError, match=told) as caught:
        bench.build(bench.origin.site(run))
    assert not isinstance(caught.value, OutsideError)


def test_links_within_the_site_and_in_circles_are_fine(bench: Bench) -> None:
    links = "cd $NOREN_OUTPUT; mkdir a; ln -s ../index.html a/b; ln -s a c; ln -s loop loop; ln -s $PWD/a d"
    assert bench.build(bench.origin.site(f"{INDEX}; {links}"))


@pytest.mark.parametrize("settings", [{"publish": "../../.."}, {"publish": "etc"}, {"publish": "/etc"}])
def test_publish_cannot_lead_out_of_the_output(bench: Bench, settings: dict[str, str]) -> None:
    with pytest.raises(ReleaseError, match="leads out of the tree"):
        bench.build(bench.origin.site(f"{INDEX}; ln -s /etc $NOREN_OUTPUT/etc", **settings))


def test_root_cannot_lead_out_of_the_tree(bench: Bench) -> None:
    (bench.origin.path / "out").symlink_to("/etc")
    bench.commit({"x": "1"})
    for root in ("out", "../..", "missing"):
        with pytest.raises(ReleaseError, match=r"leads out of the tree|no folder 'missing'"):
            bench.build(bench.origin.site(INDEX, root=root))


def test_a_build_that_hangs_is_ended_at_its_deadline_with_everything_it_started(bench: Bench) -> None:
    run = "trap '' TERM; sleep 41.5 & setsid sleep 41.5 & (setsid sh -c 'sleep 41.5 & sleep 41.5' &) ; sleep 41.5"
    app = bench.origin.site(run, timeout=0.7)
    started = time.monotonic()
    with pytest.raises(ReleaseError, match=r"took longer than 0\.7 s"):
        bench.build(app)
    assert time.monotonic() - started < 5
    assert not marked("41.5")


def test_what_a_finished_build_leaves_running_is_ended_and_not_waited_for(bench: Bench) -> None:
    started = time.monotonic()
    bench.build(bench.origin.site(f"{INDEX}; setsid sleep 42.5 & sleep 42.5 & exit 0"))
    assert time.monotonic() - started < 5
    assert not marked("42.5")


def grouped(bench: Bench) -> bool:
    """Whether this host lets us make control groups, as root and a delegated unit may."""
    group = Cgroups(bench.state).of("asked")
    made = group.create(Limits(), most_processes=1)
    group.remove()
    return any(folder.parent.is_relative_to("/sys/fs/cgroup") for folder in made)


def test_what_hides_from_mark_and_session_is_ended_where_there_are_groups(bench: Bench) -> None:
    if not grouped(bench):
        pytest.skip("this host lets us make no control groups")
    bench.build(
        bench.origin.site(f"{INDEX}; env -i setsid /bin/sh -c 'env -i /bin/sleep 47.5 & env -i /bin/sleep 47.5' &")
    )
    assert not marked("47.5")


def test_a_fork_bomb_is_contained_where_there_are_groups(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    if not grouped(bench):
        pytest.skip("this host lets us make no control groups")
    monkeypatch.setattr(build_process, "MOST_PROCESSES", 60)
    app = bench.origin.site("bomb() { bomb | bomb & }; bomb; sleep 48.5", timeout=1.0)
    started = time.monotonic()
    with pytest.raises(ReleaseError):
        bench.build(app)
    assert time.monotonic() - started < 10
    assert not marked("48.5")


def test_a_build_that_fails_on_a_full_disk_is_not_at_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([1 << 40, 0])
    monkeypatch.setattr(free_space, "free_bytes", lambda _: next(left))
    with pytest.raises(OutsideError, match="disk is nearly full"):
        bench.build(bench.origin.site("echo no space left on device; exit 1"))


def test_a_flood_of_output_is_bounded_and_the_build_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    app = bench.origin.site(f"echo first; yes | head -c 50M; echo last; {INDEX}")
    bench.build(app)
    log = bench.log(app)
    assert len(log) < build_log.MOST + 200
    assert log.startswith("first\n")
    assert log.endswith("last\n")
    assert "left out here by Noren" in log


def test_secrets_are_masked_in_the_log_and_in_the_error(bench: Bench) -> None:
    run = (
        'printf "%s " a $KEY; sleep 0.2; echo $KEY; printf %s $KEY | base64; printf %s "$KEY" | od -An -tx1 | tr -d " "'
    )
    pem = "-----BEGIN KEY-----\nMIIEabcdef0123\n-----END KEY-----"
    app = bench.origin.site(
        f'{run}; echo "$PEM"; false', secrets=(("KEY", "hunter2-hunter2"), ("PEM", pem), ("N", "1"))
    )
    with pytest.raises(ReleaseError) as caught:
        bench.build(app)
    for text in (bench.log(app), caught.value.seen):
        assert "hunter2" not in text
        assert "MIIE" not in text
        assert text.count("***") >= 6


def test_a_secret_is_masked_wherever_the_stream_is_cut(tmp_path: Path) -> None:
    data = b"one abcdSECRETxyz two\nabcdSECRETxyz and abcdSEC"
    for size in range(1, 20):
        log = BuildLog(tmp_path / "log", Mask(["abcdSECRETxyz", "SECR"]))
        for start in range(0, len(data), size):
            log.write(data[start : start + size])
        log.close()
        assert (tmp_path / "log").read_bytes() == b"one *** two\n*** and abcdSEC"


def test_the_log_can_be_read_while_the_build_runs(bench: Bench) -> None:
    app = bench.origin.site("echo begun; touch $NOREN_OUTPUT/begun; sleep 43.5")

    async def read() -> str:
        builds = bench.builds()
        assert await builds.log(app, bench.revision) is None
        task = asyncio.create_task(builds.build(app, bench.revision))
        await appears(bench.folder(app) / "output/begun")
        path = await builds.log(app, bench.revision)
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert path
        return Path(path).read_text()

    assert asyncio.run(read()) == "begun\n"


def test_only_the_last_waiter_takes_the_build_along(bench: Bench) -> None:
    app = bench.origin.site(f"touch $NOREN_OUTPUT/begun; sleep 0.5; {INDEX}")

    async def one_leaves() -> Artifact:
        builds = bench.builds()
        leaving, staying = (asyncio.create_task(builds.build(app, bench.revision)) for _ in range(2))
        await appears(bench.folder(app) / "output/begun")
        leaving.cancel()
        return await staying

    assert asyncio.run(one_leaves()).seconds >= 0


def test_cancelling_ends_every_process_and_the_next_call_builds_anew(bench: Bench, tmp_path: Path) -> None:
    run = (
        f"if [ -e {tmp_path}/again ]; then {INDEX}; exit; fi; touch $NOREN_OUTPUT/begun; setsid sleep 44.5 & sleep 44.5"
    )
    app = bench.origin.site(run)

    async def cancel_and_ask_again() -> Artifact:
        builds = bench.builds()
        task = asyncio.create_task(builds.build(app, bench.revision))
        await appears(bench.folder(app) / "output/begun")
        (tmp_path / "again").touch()
        task.cancel()
        again = asyncio.create_task(builds.build(app, bench.revision))
        await asyncio.wait([task])
        assert task.cancelled()
        return await again

    assert asyncio.run(cancel_and_ask_again()).path
    assert not marked("44.5")


def test_no_more_builds_than_allowed_run_at_once(bench: Bench, tmp_path: Path) -> None:
    one = f"mkdir {tmp_path}/alone && sleep 0.1 && rmdir {tmp_path}/alone && {INDEX}"
    apps = [bench.origin.site(f"{one}; : {number}") for number in range(3)]

    async def all_of_them() -> None:
        builds = bench.builds(parallel=1)
        await asyncio.gather(*(builds.build(app, bench.revision) for app in apps))

    asyncio.run(all_of_them())


def test_a_full_disk_ends_the_build_and_is_nobodys_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_space, "_EVERY", 0.05)
    app = bench.origin.site("touch $NOREN_OUTPUT/begun; sleep 45.5")
    with pytest.raises(OutsideError, match="disk is nearly full"):
        asyncio.run(bench.builds(min_free=1 << 60).build(app, bench.revision))

    async def fills_up() -> None:
        builds = bench.builds()
        task = asyncio.create_task(builds.build(app, bench.revision))
        await appears(bench.folder(app) / "output/begun")
        monkeypatch.setattr(free_space, "free_bytes", lambda _: 0)
        await task

    with pytest.raises(OutsideError, match="disk is nearly full"):
        asyncio.run(fills_up())
    assert not marked("45.5")
    assert not bench.folder(app).exists()


def test_what_a_crash_cut_off_is_ended_and_removed_at_start(bench: Bench) -> None:
    app = bench.origin.site(INDEX)
    folder = bench.folder(app)
    (folder / "tree").mkdir(parents=True)

    async def crashed_and_started_again() -> None:
        env = {"NOREN_BUILD": str(folder), "PATH": os.environ["PATH"]}
        left = await asyncio.create_subprocess_exec("sleep", "46.5", env=env, start_new_session=True)
        await bench.builds().clean()
        assert await left.wait() == -9

    asyncio.run(crashed_and_started_again())
    assert not folder.exists()
    assert bench.build(app)


def test_prune_removes_what_nobody_names_and_never_what_runs(bench: Bench) -> None:
    kept, gone = bench.origin.site(INDEX), bench.origin.site(f"{INDEX}; : old")
    running = bench.origin.site(f"touch $NOREN_OUTPUT/begun; sleep 0.5; {INDEX}")
    for app in (kept, gone):
        bench.build(app)

    async def prune_meanwhile() -> Artifact:
        builds = bench.builds()
        task = asyncio.create_task(builds.build(running, bench.revision))
        await appears(bench.folder(running) / "output/begun")
        for _ in range(2):
            await builds.prune(frozenset({build_key(kept, bench.revision)}))
        assert await builds.log(gone, bench.revision) is None
        return await task

    assert Path(asyncio.run(prune_meanwhile()).path, "index.html").exists()
    assert bench.folder(kept).exists()
    assert not bench.folder(gone).exists()


def test_an_unwritable_folder_of_a_build_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "x/mod/cache").mkdir(parents=True)
    (tmp_path / "x/mod/cache/file").touch()
    (tmp_path / "x/mod/cache").chmod(0o500)
    (tmp_path / "x/mod").chmod(0o000)
    remove(tmp_path / "x")
    remove(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_revision_that_is_not_in_the_mirror_is_told(bench: Bench) -> None:
    with pytest.raises(ReleaseError, match="no such revision"):
        asyncio.run(bench.builds().build(bench.origin.site(INDEX), "0" * 40))


@pytest.mark.parametrize(("depth", "name"), [(1500, "a"), (300, "x" * 20)])
def test_folders_deeper_than_a_path_can_be_long_can_be_removed(tmp_path: Path, depth: int, name: str) -> None:
    top = tmp_path / "build"
    top.mkdir()
    (top / "link").symlink_to(tmp_path)
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        outer, here = here, os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(outer)
    os.close(here)
    remove(top)
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_is_asked_for_while_old_ones_are_pruned_stays(bench: Bench) -> None:
    app, builds = bench.origin.site(INDEX), bench.builds()

    async def scenario() -> Artifact:
        await builds.build(app, bench.revision)
        _, artifact = await asyncio.gather(builds.prune(frozenset()), builds.build(app, bench.revision))
        return artifact

    assert Path(asyncio.run(scenario()).path, "index.html").exists()


def test_a_folder_that_cannot_be_removed_is_told_after_the_others_are_gone(bench: Bench) -> None:
    builds = bench.builds()
    names = ("a", "x" * 253, "z")  # what belongs to the second (its log) has a name that the file system refuses
    for name in names:
        (bench.state / "builds" / name).mkdir()
    with pytest.raises(OutsideError, match="could not be removed"):
        asyncio.run(builds.clean())
    assert not any((bench.state / "builds" / name).exists() for name in names)


def test_a_scheduled_build_is_made_again_and_apps_of_one_time_share_it(bench: Bench) -> None:
    counter = bench.state.parent / "counter"
    app = bench.origin.site(f"echo x >>{counter}; wc -l <{counter} >$NOREN_OUTPUT/index.html")
    other = replace(app, name="other", hosts=("other.example",))

    async def builds() -> list[Artifact]:
        builder = bench.builds()
        again = [await builder.build(a, bench.revision, "2026-01-01T00:00:00Z") for a in (app, other)]
        return [await builder.build(app, bench.revision), *again, await builder.build(app, bench.revision, "later")]

    first, again, shared, later = asyncio.run(builds())
    assert counter.read_text().count("x") == 3
    assert again == replace(shared, seconds=again.seconds)
    assert len({first.digest, again.digest, later.digest}) == 3


def test_a_site_built_again_from_the_same_has_the_same_digest(bench: Bench) -> None:
    app = bench.origin.site(INDEX)
    again = asyncio.run(bench.builds().build(app, bench.revision, "2026-01-01T00:00:00Z"))
    assert again.digest == bench.build(app).digest
    assert again.key != bench.build(app).key


@pytest.mark.parametrize("filled", ["venv", "$NOREN_OUTPUT/venv"])
def test_a_process_built_again_differs_only_by_what_its_build_made_otherwise(bench: Bench, filled: str) -> None:
    """A real virtual environment, which is full of the folder's name, and compiled files, which are full of times."""
    compiled = f"mkdir -p {filled}/__pycache__ && date +%N >{filled}/__pycache__/x.pyc"
    venv = f"{sys.executable} -m venv --without-pip {filled} && {compiled}"
    app = replace(bench.origin.site(venv), kind=Kind.PROCESS, run="serve")
    first = bench.build(app)
    again = asyncio.run(bench.builds().build(app, bench.revision, "2026-01-01T00:00:00Z"))
    assert first.path != again.path
    assert first.digest == again.digest
    other = replace(app, build=replace(app.build, run=f"{venv} && date +%N >{filled}/data"))
    assert bench.build(other).digest != first.digest
