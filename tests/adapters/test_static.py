"""A static release is served as its settings say, from the moment start returns until stop."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from pathlib import Path
from typing import Any

import pytest
from site_client import answer, artifact, ask, connected, instance, release, request, running, site

from noren.adapters.caddy import Caddy
from noren.adapters.removal import remove
from noren.adapters.static import Sites
from noren.core.errors import OutsideError, ReleaseError

LONG = "<p>a page long enough to be worth compressing</p>\n" * 40
FILES = {
    "index.html": LONG,
    "about.html": "about",
    "docs/index.html": "docs",
    "both.html": "the page",
    "both/index.html": "the folder",
    "empty/picture.txt": "x",
    "a b?.html": "odd name",
    "app.js": "js",
    "404.html": "not here",
}


def test_files_folders_and_clean_urls(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES) as caddy:
            served = {
                "/": LONG,
                "/about": "about",
                "/about.html": "about",
                "/docs/": "docs",
                "/both": "the page",
                "/both/": "the folder",
                "/a%20b%3F": "odd name",
                "/about?next=%2Fhome%00": "about",
            }
            for path, content in served.items():
                got = ask(caddy, path)
                assert (got.status, got.body.decode()) == (200, content), path
                assert got.headers["cache-control"] == "public, max-age=31536000"
                assert "last-modified" not in got.headers and "server" not in got.headers
            assert ask(caddy, "/app.js").headers["content-type"].startswith("text/javascript")

    asyncio.run(run())


def test_a_folder_is_redirected_to_its_slash_and_the_redirect_is_not_kept(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES) as caddy:
            got = ask(caddy, "/docs")
            assert (got.status, got.headers["location"], got.headers["cache-control"]) == (308, "/docs/", "no-cache")
            for path in ("//evil.example/docs", "//docs", "///docs", "//evil.example/%2e%2e/docs", "//about.html/"):
                location = ask(caddy, path).headers.get("location", "/")
                assert location.startswith("/") and not location.startswith("//"), path

    asyncio.run(run())


def test_without_clean_urls_a_page_needs_its_extension(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES, clean_urls=False) as caddy:
            assert ask(caddy, "/about").status == 404
            assert ask(caddy, "/about.html").status == 200
            assert ask(caddy, "/docs/").body == b"docs"

    asyncio.run(run())


def test_the_not_found_page_has_status_404_and_cannot_be_cached_or_cut(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES) as caddy:
            for headers in ({}, {"Range": "bytes=0-2"}, {"If_None_Match": "*"}):
                got = ask(caddy, "/nothing/here", **headers)
                assert (got.status, got.body) == (404, b"not here")
                assert not {"cache-control", "etag", "last-modified"} & got.headers.keys()
            assert ask(caddy, "/empty/").status == 404, "a folder without index is not listed"

    asyncio.run(run())


def test_a_site_without_a_not_found_page_says_so_plainly(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, {"index.html": "home"}) as caddy:
            got = ask(caddy, "/nothing")
            assert (got.status, got.body) == (404, b"404 Not Found\n")

    asyncio.run(run())


def test_a_single_page_app_answers_every_path_with_its_fallback(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES, fallback="index.html") as caddy:
            home = ask(caddy, "/")
            got = ask(caddy, "/some/route")
            assert (got.status, got.body, got.etag) == (200, home.body, home.etag)
            assert got.headers["content-type"] == home.headers["content-type"]
            assert ask(caddy, "/about").body == b"about"
            assert ask(caddy, "/.env").status == 404
            assert ask(caddy, "/some/route", If_None_Match=got.etag).status == 304

    asyncio.run(run())


def test_each_encoding_has_its_own_etag_and_304(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES) as caddy:
            tags: set[str] = set()
            for kind, encoding in (("gz", "gzip"), ("zst", "zstd"), ("id", "identity")):
                host = f"web-42.{kind}.noren"
                got = ask(caddy, "/", host, Accept_Encoding=encoding)
                assert got.status == 200 and got.headers.get("content-encoding", "identity") == encoding
                assert len(got.body) < len(LONG) or encoding == "identity"
                known = ask(caddy, "/", host, Accept_Encoding=encoding, If_None_Match=got.etag)
                assert (known.status, known.etag, known.body) == (304, got.etag, b"")
                assert got.etag.startswith('"') and got.etag.endswith('"')
                tags.add(got.etag)
            assert len(tags) == 3
            assert gzip.decompress(ask(caddy, "/", "web-42.gz.noren", Accept_Encoding="gzip").body).decode() == LONG

    asyncio.run(run())


def test_the_same_content_has_the_same_etag_in_every_build(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            tags: set[str] = set()
            for number in (1, 2):
                build = artifact(tmp_path / f"build{number}", FILES)
                os.utime(build / "index.html", (number * 1000, number * 1000))
                await Sites(caddy).start(release(build, number), instance(f"i{number}", number))
                tags.add(ask(caddy, "/", f"web-{number}.id.noren").etag)
            assert len(tags) == 1

    asyncio.run(run())


def test_other_content_of_the_same_size_and_time_is_never_not_modified(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            tags: list[str] = []
            for number, content in ((1, "good page"), (2, "evil page")):
                build = artifact(tmp_path / f"build{number}", {"index.html": content})
                os.utime(build / "index.html", (1_700_000_000, 1_700_000_000))
                await Sites(caddy).start(release(build, number), instance(f"i{number}", number))
                tags.append(ask(caddy, "/", f"web-{number}.id.noren").etag)
            assert tags[0] != tags[1]
            since = "Fri, 01 Jan 2038 00:00:00 GMT"
            for headers in ({"If_None_Match": tags[0]}, {"If_Modified_Since": since}):
                got = ask(caddy, "/", "web-2.id.noren", **headers)
                assert (got.status, got.body) == (200, b"evil page")

    asyncio.run(run())


def test_a_range_is_a_part_of_the_file_whatever_the_encoding(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES) as caddy:
            for kind, encoding in (("gz", "gzip"), ("id", "identity")):
                got = ask(caddy, "/", f"web-42.{kind}.noren", Accept_Encoding=encoding, Range="bytes=3-8")
                assert (got.status, got.body) == (206, LONG.encode()[3:9])
                assert "content-encoding" not in got.headers and "cache-control" not in got.headers
            whole = ask(caddy, "/", Range="bytes=3-8", If_Range='"of another release"')
            assert (whole.status, whole.body.decode()) == (200, LONG)
            assert ask(caddy, "/", Range="bytes=999999-").status == 416

    asyncio.run(run())


def test_head_says_what_get_would_and_other_methods_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES) as caddy:
            for kind in ("gz", "id"):
                got = ask(caddy, "/", f"web-42.{kind}.noren", "HEAD", Accept_Encoding="gzip")
                assert (got.status, got.body, got.headers["content-length"]) == (200, b"", str(len(LONG)))
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
                got = ask(caddy, "/missing", method=method)
                assert (got.status, got.headers["allow"]) == (405, "GET, HEAD"), method

    asyncio.run(run())


def test_well_known_files_are_served_and_the_build_is_not_touched(tmp_path: Path) -> None:
    async def run() -> None:
        files = FILES | {".well-known/acme/token": "public", "x.noren-etag": "mine"}
        async with site(tmp_path, files) as caddy:
            assert ask(caddy, "/.well-known/acme/token").body == b"public"
            assert ask(caddy, "/x.noren-etag").status == 404
        build = tmp_path / "build"
        assert {str(file.relative_to(build)) for file in build.rglob("*") if file.is_file()} == set(files)

    asyncio.run(run())


def test_links_inside_the_build_are_followed_and_hidden_targets_stay_hidden(tmp_path: Path) -> None:
    build = artifact(tmp_path / "build", FILES | {".env": "secret"})
    links = {"latest": "docs", "copy.html": "about.html", "env.txt": ".env", "gone": "nowhere", "docs/round": ".."}
    for name, target in links.items():
        (build / name).symlink_to(target)

    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            await Sites(caddy).start(release(build), instance())
            assert ask(caddy, "/latest/").body == b"docs"
            assert ask(caddy, "/docs/round/docs/round/about").body == b"about"
            assert ask(caddy, "/copy.html").etag == ask(caddy, "/about.html").etag
            assert ask(caddy, "/env.txt").status == ask(caddy, "/gone").status == 404
            for name in ("app.js", "about.html"):
                (build / name).unlink()
                (build / name).symlink_to("/etc/passwd")
                assert ask(caddy, f"/{name}").body in (b"js", b"about"), "a release does not change any more"

    asyncio.run(run())


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "..", "../build2/x", "docs/../../build2"])
def test_a_build_with_a_link_that_leads_out_is_refused(tmp_path: Path, target: str) -> None:
    artifact(tmp_path / "build2", {"x": "outside"})
    (artifact(tmp_path / "build", FILES) / "out").symlink_to(target)

    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            with pytest.raises(ReleaseError, match="leads out"):
                await Sites(caddy).start(release(tmp_path / "build"), instance())
            assert ask(caddy, "/").status == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    ("files", "static", "message"),
    [
        ({"public/index.html": "x"}, {}, "holds public"),
        ({".env": "x"}, {}, "nothing that may be served"),
        (FILES, {"fallback": "200.html"}, "no file 200.html"),
        (FILES, {"fallback": "../../../etc/passwd"}, "lacks its fallback"),
    ],
)
def test_what_is_no_site_is_refused_with_what_was_seen(
    tmp_path: Path, files: dict[str, str], static: dict[str, Any], message: str
) -> None:
    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            with pytest.raises(ReleaseError) as caught:
                await Sites(caddy).start(release(artifact(tmp_path / "build", files), **static), instance())
            assert message in str(caught.value)
            assert ask(caddy, "/").status == 404

    asyncio.run(run())


def test_a_not_found_page_outside_the_build_is_not_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, FILES, not_found="../../../../../../etc/passwd") as caddy:
            assert ask(caddy, "/nothing").body == b"404 Not Found\n"

    asyncio.run(run())


def test_start_and_stop_again_change_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            sites, made = Sites(caddy), release(artifact(tmp_path / "build", FILES))
            started = await sites.start(made, instance())
            assert started.address == f"unix@{tmp_path}/state/caddy/caddy.sock"
            assert await sites.start(made, instance()) == started == await sites.adopt(instance())
            assert ask(caddy, "/").status == 200
            for _ in range(2):
                await sites.stop(started, 10.0)
                assert ask(caddy, "/").status == 404
                assert await sites.adopt(instance()) is None
            assert list(caddy.sites.iterdir()) == []
            assert (tmp_path / "build/index.html").read_text() == LONG

    asyncio.run(run())


def test_a_restarted_release_stays_when_its_first_instance_stops(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            sites, made = Sites(caddy), release(artifact(tmp_path / "build", FILES))
            first, second = [await sites.start(made, instance(name)) for name in ("i1", "i2")]
            await sites.stop(first, 0.0)
            assert ask(caddy, "/").status == 200
            assert await sites.adopt(first) is None
            assert await sites.adopt(second) == second

    asyncio.run(run())


def test_a_folder_of_an_earlier_boot_or_a_half_made_one_is_made_anew(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            sites, made = Sites(caddy), release(artifact(tmp_path / "build", FILES))
            await sites.start(made, instance())
            (caddy.sites / "web-42/boot").write_text("an earlier boot")
            (caddy.sites / "web-42/tree/index.html.noren-etag").write_text("")
            (caddy.sites / ".web-7.new/tree").mkdir(parents=True)
            assert await sites.adopt(instance()) is None
            await sites.start(made, instance())
            assert len(ask(caddy, "/").etag) == 34
            assert [folder.name for folder in caddy.sites.iterdir()] == ["web-42"]

    asyncio.run(run())


def test_a_request_in_flight_survives_the_removal_of_its_release(tmp_path: Path) -> None:
    async def run() -> None:
        big = "x" * 30_000_000
        async with site(tmp_path, {"index.html": big}) as caddy:
            with connected(caddy) as connection:
                connection.sendall(request("/"))
                head = connection.recv(1)
                await Sites(caddy).stop(instance(), 0.0)
                got = await asyncio.to_thread(answer, connection)
            assert head == b"H" and len(got.body) == len(big)

    asyncio.run(run())


def test_a_caddy_that_does_not_start_is_no_fault_of_the_release(tmp_path: Path) -> None:
    async def run() -> None:
        async with Caddy(tmp_path / "state", Path("/bin/false")) as caddy:
            with pytest.raises(OutsideError, match="Caddy"):
                await Sites(caddy).start(release(artifact(tmp_path / "build", FILES)), instance())

    asyncio.run(run())


def test_exited_waits_for_ever(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "state") as caddy:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(Sites(caddy).exited(instance()), 0.05)

    asyncio.run(run())


def test_three_thousand_files_are_published_in_about_a_second(tmp_path: Path) -> None:
    files = {f"section{n % 50}/page{n}.html": f"page {n}\n" * 100 for n in range(3000)}
    build = artifact(tmp_path / "build", FILES | files)

    async def run() -> float:
        async with running(tmp_path / "state") as caddy:
            await caddy.ensure()
            begun = time.monotonic()
            await Sites(caddy).start(release(build), instance())
            seconds = time.monotonic() - begun
            assert ask(caddy, "/section7/page7").status == 200
            return seconds

    seconds = asyncio.run(run())
    print(f"3,000 files in {seconds:.2f} s")
    assert seconds < 6.0  # measured 0.3; ext4 needs 2 s to find inodes after many were deleted


def test_folders_nested_too_deep_are_the_releases_own_fault(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "artifact"
        path.mkdir()
        (path / "index.html").write_text("hello")
        here = os.open(path, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("a", dir_fd=here)
            outer, here = here, os.open("a", os.O_RDONLY, dir_fd=here)
            os.close(outer)
        os.close(here)
        async with running(tmp_path) as caddy:
            with pytest.raises(ReleaseError, match="nested too deep"):
                await Sites(caddy).start(release(path), instance())
        remove(path)
        remove(caddy.sites)

    asyncio.run(run())
