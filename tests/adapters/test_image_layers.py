"""Layers and images from files: same content, same digest; and what an archive of them holds."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from noren.adapters.images.image import compose, nothing
from noren.adapters.images.layer import write_layer
from noren.adapters.images.layout import Layout
from noren.adapters.images.reference import Reference
from noren.core.errors import ReleaseError, UsageError


def tree(path: Path, files: dict[str, str]) -> Path:
    """A folder with these files."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def image(work: Path, content: Path, where: str = "/srv") -> str:
    layout = Layout(work)
    return compose(layout, nothing(), [write_layer(layout, content, where)])


def entries(work: Path, content: Path, where: str = "/", *, alone: bool = False) -> dict[str, tarfile.TarInfo]:
    layout = Layout(work)
    layer = write_layer(layout, content, where, alone=alone)
    with tarfile.open(layout.blob(layer.digest)) as tar:
        return {entry.name: entry for entry in tar}


def test_the_same_tree_gives_the_same_digest_whenever_and_wherever_it_lies(tmp_path: Path) -> None:
    first = tree(tmp_path / "a", {"index.html": "hello", "deep/er/page.html": "x", "b": "1", "a": "2"})
    again = tree(tmp_path / "b", {"a": "2", "b": "1", "deep/er/page.html": "x", "index.html": "hello"})
    os.utime(again / "index.html", (time.time() - 1e6, time.time() - 1e6))
    (again / "index.html").chmod(0o600)
    assert image(tmp_path / "1", first) == image(tmp_path / "2", again)
    (again / "index.html").write_text("hellO")
    assert image(tmp_path / "1", first) != image(tmp_path / "3", again)


def test_a_page_of_other_content_and_equal_size_gets_another_time_and_so_another_etag(tmp_path: Path) -> None:
    before = entries(tmp_path / "1", tree(tmp_path / "a", {"index.html": "price 1", "same": "x"}))
    after = entries(tmp_path / "2", tree(tmp_path / "b", {"index.html": "price 2", "same": "x"}))
    assert before["index.html"].mtime != after["index.html"].mtime
    assert before["same"].mtime == after["same"].mtime
    assert all(0 < entry.mtime < time.time() for entry in (*before.values(), *after.values()))


def test_links_and_programs_stay_what_they_are_and_owners_are_root(tmp_path: Path) -> None:
    content = tree(tmp_path / "a", {"bin/run": "#!", "page": "x"})
    (content / "bin/run").chmod(0o700)
    (content / "link").symlink_to("page")
    held = entries(tmp_path / "1", content, "/opt/app/")
    assert list(held) == ["opt/app/bin", "opt/app/bin/run", "opt/app/link", "opt/app/page"]
    assert (held["opt/app/bin/run"].mode, held["opt/app/page"].mode) == (0o755, 0o644)
    assert held["opt/app/link"].linkname == "page"
    assert {(entry.uid, entry.gid, entry.uname) for entry in held.values()} == {(0, 0, "")}


def test_a_site_hides_the_pages_that_its_base_brings(tmp_path: Path) -> None:
    held = entries(tmp_path / "1", tree(tmp_path / "a", {"index.html": "x"}), "/usr/share/nginx/html", alone=True)
    assert next(iter(held)) == "usr/share/nginx/html/.wh..wh..opq"


def test_what_no_image_can_hold_is_refused_by_name(tmp_path: Path) -> None:
    content = tree(tmp_path / "a", {"x": "x"})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(content / "s"))
        with pytest.raises(ReleaseError) as caught:
            image(tmp_path / "1", content)
    assert "a/s is neither" in caught.value.seen


def test_a_layout_is_one_that_others_read(tmp_path: Path) -> None:
    if not shutil.which("buildah"):
        pytest.skip("buildah is missing: apt-get install buildah")
    digest = image(tmp_path / "layout", tree(tmp_path / "a", {"index.html": "x"}))
    argv = ["buildah", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run", "--storage-driver", "vfs"]
    pulled = subprocess.run([*argv, "pull", "--quiet", f"oci:{tmp_path}/layout"], capture_output=True, text=True)
    assert pulled.returncode == 0, pulled.stderr
    told = subprocess.run([*argv, "images", "--json"], capture_output=True, text=True, check=True).stdout
    assert json.loads(told)[0]["digest"] == digest


@pytest.mark.parametrize(
    ("text", "read", "api"),
    [
        ("nginx", "docker.io/library/nginx", "https://registry-1.docker.io/v2/library/nginx"),
        ("shop/web:1", "docker.io/shop/web:1", "https://registry-1.docker.io/v2/shop/web"),
        ("docker.io/nginx:1", "docker.io/library/nginx:1", "https://registry-1.docker.io/v2/library/nginx"),
        ("r.example/shop/web:1-ab", "r.example/shop/web:1-ab", "https://r.example/v2/shop/web"),
        ("r.example:5000/web", "r.example:5000/web", "https://r.example:5000/v2/web"),
        ("localhost:5000/web", "localhost:5000/web", "http://localhost:5000/v2/web"),
        ("127.0.0.1:5000/web:x", "127.0.0.1:5000/web:x", "http://127.0.0.1:5000/v2/web"),
        ("[::1]:5000/web", "[::1]:5000/web", "http://[::1]:5000/v2/web"),
        ("http://r.lan:5000/web", "r.lan:5000/web", "http://r.lan:5000/v2/web"),
        (f"r.example/w@sha256:{'a' * 64}", f"r.example/w@sha256:{'a' * 64}", "https://r.example/v2/w"),
    ],
)
def test_names_are_read_as_docker_reads_them_and_only_loopback_is_plain(text: str, read: str, api: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference), reference.api) == (read, api)


@pytest.mark.parametrize(
    "text", ["", "Shop/Web", "r.example/", "r.example/web:", "r.example/web@sha256:12", "a b", "w:é"]
)
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="does not name an image"):
        Reference.parse(text)
