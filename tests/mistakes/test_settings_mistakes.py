"""What ``noren check`` tells of slips in noren.toml: the place, the key, what is wrong and how it is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SITE = '[apps.website]\nrepo = "https://github.com/example/hue.git"\nhosts = ["gethue.example"]\n'
SLIPS = {
    "unclosed quote": ('[apps.website]\nrepo = "https://x.example/y.git\n', ("noren.toml:2", "quote")),
    "no quotes": ("[apps.website]\nrepo = https://x.example/y.git\n", ("noren.toml:2", "quote")),
    "colon": ('[apps.website]\nrepo: "https://x.example/y.git"\n', ("noren.toml:2", "=")),
    "key twice": (SITE + 'hosts = ["b.example"]\n', ("noren.toml:4", "key is there twice")),
    "table twice": (SITE + SITE, ("noren.toml:4", "table is there twice")),
    "unclosed bracket": (SITE + '[apps.api\nrepo = "x"\n', ("noren.toml:4", "close the name of the table")),
    "unclosed list": (SITE + 'watch = ["a"\nkeep = 3\n', ("noren.toml:5", "close the list")),
    "yes": (SITE + "release_header = yes\n", ("noren.toml:4", "true")),
    "unknown key": (SITE + "kepe = 3\n", ("noren.toml:4", "apps.website.kepe", "did you mean keep")),
    "unknown table": ('[app.website]\nrepo = "x"\n', ("noren.toml:1", "did you mean apps")),
    "no repository": ('[apps.website]\nhosts = ["a.example"]\n', ("noren.toml:1", "apps.website.repo", "missing")),
    "no hosts": ('[apps.website]\nrepo = "site"\n', ("noren.toml:1", "apps.website.hosts")),
    "host not in a list": (SITE.replace('["gethue.example"]', '"gethue.example"'), ("apps.website.hosts", "list")),
    "host with a scheme": (SITE.replace("gethue", "https://gethue"), ("apps.website.hosts", "gethue.example")),
    "two apps one host": (
        SITE + SITE.replace("website", "api"),
        ("apps.api.hosts", "claimed by two apps, website and api"),
    ),
    "name": (SITE.replace("website", "Web_Site"), ("Web_Site", "a-z first")),
    "duration": (SITE + 'keep_warm = "5 minutes"\n', ("noren.toml:4", "apps.website.keep_warm", '"10m"')),
    "number in quotes": (SITE + 'keep = "ten"\n', ("noren.toml:4", "apps.website.keep", "whole number")),
    "no env file": (SITE + 'env_file = "website.env"\n', ("apps.website.env_file", "website.env", "is missing")),
    "taken variable": (SITE + 'env = { PORT = "80" }\n', ("apps.website.env", "PORT")),
    "later kind": (SITE + 'kind = "container"\n', ("apps.website.kind", "not yet supported", "process")),
    "no run": (SITE + 'kind = "process"\n', ("apps.website", "run")),
    "port alone": (SITE + '[server]\nlisten = [":80"]\n', ("server.listen", '"[::]:8080"')),
    "http": (SITE.replace("https:", "http:"), ("apps.website.repo", "https://")),
}


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "noren.main", "check"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_by_place_and_how_it_is_written(slip: str, tmp_path: Path) -> None:
    text, words = SLIPS[slip]
    (tmp_path / "noren.toml").write_text(text)
    done = check(tmp_path)
    assert done.returncode == 2, done
    assert not [word for word in words if word not in done.stderr], done.stderr


def test_what_the_slips_are_made_from_is_right(tmp_path: Path) -> None:
    (tmp_path / "noren.toml").write_text(SITE)
    assert check(tmp_path).returncode == 0


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "noren.main", "-c", "nope.toml", "up"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert f"{tmp_path}/nope.toml cannot be read\nseen: No such file" in done.stderr and "check its name" in done.stderr


def test_no_settings_at_all_names_every_place_that_was_looked_in(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 2
    assert not [
        word
        for word in (f"{tmp_path}/noren.toml", "/etc/noren/noren.toml", "-c FILE", "noren init")
        if word not in done.stderr
    ], done
