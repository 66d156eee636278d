"""What noren.toml promises: short files, one default each, and every error at once at its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from noren.core.errors import SettingsError
from noren.core.model import Kind, Strategy
from noren.settings.effective import effective
from noren.settings.file import load
from noren.settings.model import Settings
from noren.settings.schema import schema

MINIMAL = """
[apps.website]
repo  = "https://github.com/example/hue.git"
root  = "docs/gethue"
build = "hugo --minify --destination $NOREN_OUTPUT"
hosts = ["gethue.example"]

[apps.api]
repo  = "https://github.com/example/api.git"
build = "uv sync --frozen --no-dev"
run   = ".venv/bin/uvicorn api:app --port $PORT"
ready = "/healthz"
hosts = ["api.example", "gethue.example/api"]
"""

LONG = """
[server]
listen = ["[::]:8080"]             # public HTTP; `noren install` writes :80 and :443
state  = ".noren"                  # all that Noren writes, relative to this file (installed: /var/lib/noren)
builds = 2                         # at once
ports  = "20000-28999"             # for instances, outside the ephemeral range

[defaults]                          # any app setting; tables merge deeply, lists replace

[apps.website]                      # names: [a-z][a-z0-9-]{0,39}
repo      = "https://github.com/example/hue.git"   # URL or local path
branch    = "main"                  # default: the remote's HEAD
root      = "docs/gethue"           # default "."
watch     = ["docs/gethue/**"]      # default: root. A commit that touches none of these is no upgrade
publish   = "public/jp"             # folder of the output that is served
hosts     = ["gethue.example"]      # host, or host/path (a whole path segment); the longest match wins
kind      = "static"                # default: process if `run` is set, else static
keep      = 10                      # releases kept
keep_warm = "5m"                    # the previous release keeps running so long after a switch was kept
release_header = true               # X-Noren-Release: website@42 on each answer
ssh_key_file = "deploy_key"         # private repositories: ssh_key_file + known_hosts_file, or token_env
known_hosts_file = "known_hosts"
submodules = false                  # themes are often submodules
env       = { HUGO_ENV = "production" }
env_file  = "website.env"           # secrets: not in this file, not in logs, not in argv
[apps.website.build]                # `build = "CMD"` is short for run
run = "hugo --minify --destination $NOREN_OUTPUT"
timeout = "10m"
[apps.website.static]
clean_urls = true                   # /about → about.html or about/index.html
not_found = "404.html"
fallback = "index.html"             # single-page apps; default off
cache_control = { "assets/*" = "public, max-age=31536000, immutable" }
[apps.website.triggers]
poll = "30s"                        # per repository, with jitter; "off" to disable

[apps.api]
repo = "../api.git"
hosts = ["api.example"]
kind = "process"
run  = ".venv/bin/uvicorn api:app --port $PORT"
instances = 1
strategy = "blue-green"             # or "rolling"; later canary, recreate
[apps.api.ready]                    # before traffic; `ready = "/path"` is short for path
path = "/"                          # any 2xx; also `status`, `body`, `host` (default: first host)
interval = "250ms"
timeout = "2s"
successes = 3
deadline = "60s"
[apps.api.verify]                   # judged on real traffic after the switch
bake_time = "60s"                   # static: 10s
max_error_rate = 0.02               # above what the old release had
min_requests = 50                   # for the slow lane
[apps.api.drain]
requests = "30s"                    # in-flight requests
connections = "10m"                 # websockets, streams
grace = "10s"                       # SIGTERM to SIGKILL
"""

APP = '[apps.a]\nrepo = "https://g.example/a.git"\nhosts = ["a.example"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "noren.toml"
    path.write_text(text)
    return path


def loaded(folder: Path, text: str) -> Settings:
    return load(written(folder, text))


def errors(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, text)
    return [line.strip() for line in caught.value.seen.split("\n") if line.strip()]


def test_the_two_minimal_apps_are_complete(tmp_path: Path) -> None:
    settings = loaded(tmp_path, MINIMAL)
    website, api = settings.apps["website"], settings.apps["api"]
    assert (website.kind, api.kind) == (Kind.STATIC, Kind.PROCESS)
    assert website.build.run == "hugo --minify --destination $NOREN_OUTPUT"
    assert website.watch == ("docs/gethue/**",)
    assert (website.verify.bake_time, api.verify.bake_time) == (10, 60)
    assert api.ready.path == "/healthz"
    assert api.hosts == ("api.example", "gethue.example/api")
    assert settings.server.state == str(tmp_path / ".noren")
    assert settings.server.ports == (20000, 28999)


def test_the_long_form_says_the_defaults(tmp_path: Path) -> None:
    for name in ("deploy_key", "known_hosts"):
        (tmp_path / name).touch()
    (tmp_path / "website.env").write_text("TOKEN=geheim\n")
    settings = loaded(tmp_path, LONG)
    website, api = settings.apps["website"], settings.apps["api"]
    bare = loaded(tmp_path, APP.replace("[apps.a]", '[apps.a]\nrun = "serve"'))
    assert settings.server == bare.server
    for section in ("ready", "verify", "drain", "triggers", "limits", "instances", "strategy", "keep", "keep_warm"):
        assert getattr(api, section) == getattr(bare.apps["a"], section), section
    assert website.credentials.ssh_key_file == str(tmp_path / "deploy_key")
    assert website.secrets == (("TOKEN", "geheim"),)
    assert website.static.cache_control == (("assets/*", "public, max-age=31536000, immutable"),)
    assert api.repo == str(tmp_path.parent / "api.git")


def test_every_error_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    found = errors(
        tmp_path,
        '[server]\nlistne = ["[::]:8080"]\n'
        '[apps.website]\nrepo = "https://g.example/a.git"\nbilud = "hugo"\n'
        'build = { run = "x",\ttimeout = 3 }\nverify.bake_time = "7"\n'
        'hosts = ["ok.example",\n\n  "https://x"]\n'
        '[apps."Bad"]\nhosts = ["b.example"]\nstrategy = "canary"\n[[apps.c]]\n',
    )
    assert [line.partition(": ")[0] for line in found] == [
        "noren.toml:2",
        "noren.toml:5",
        "noren.toml:6",
        "noren.toml:7",
        "noren.toml:10",
        "noren.toml:11",
        "noren.toml:11",
        "noren.toml:13",
        "noren.toml:13",
        "noren.toml:14",
    ]
    assert "server.listne: is no setting; did you mean listen?" in found[0]
    assert "apps.website.bilud: is no setting; did you mean build?" in found[1]
    assert 'apps.website.build.timeout: must be a duration such as "250ms"' in found[2]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('strategy = "canary"', "apps.a.strategy: is not yet supported: use blue-green or rolling"),
        ('kind = "container"', "apps.a.kind: is not yet supported"),
        ('kind = "kind"', "apps.a.kind: must be static or process"),
        ('kind = "process"', "apps.a.run: is missing: a process needs the command"),
        (
            'ready = "/x"',
            "apps.a.ready: fits only a process or kubernetes app, and this one is static (run is not set)",
        ),
        ('run = "x"\npublish = "y"', "apps.a.publish: fits only a static app, and this one is process (run is set)"),
        ('bake_time = "1s"', "did you mean verify.bake_time?"),
        ('triggers.schedule = "sometimes"', 'apps.a.triggers.schedule: must be "daily", "hourly" or a cron line'),
        ('triggers.schedule = "0 0 30 2 *"', "apps.a.triggers.schedule: must be"),
        ('triggers.timezone = "Berlin"', 'must be the name of a time zone such as "Europe/Berlin"'),
        ('triggers.windows = ["Mon-Fri 6-18"]', 'must be days and times such as "Mon-Fri 06:00-18:00"'),
        ('triggers.windows = ["06:00-06:00"]', "must not be empty"),
        ('notify = "some"', "must be failures or all or none"),
        ('[notify]\nwebhook = "example.org/x"', "notify.webhook: must be a URL"),
        ('[notify]\nsecret_env = "X"', "notify.secret_env: signs the messages of webhook, and there is none"),
        ('[notify]\napprise_file = "missing"', "missing is not a file"),
        ('[notify]\nwebhok = "x"', "is no setting; did you mean webhook?"),
        ('tags = "-d"', 'must be a pattern of tags such as "v*"'),
        ('tags = "v*"\nbranch = "main"', "apps.a.tags: is followed instead of a branch"),
        ('triggers.tags = "v*"', "is no setting; did you mean tags of the app itself?"),
        ('triggers.poll = "0s"', "must be longer than 0s"),
        ("keep = 0", "must be at least 1"),
        ("keep = true", "must be a whole number"),
        ("keep = [1]", "must be a whole number (seen: a list)"),
        ('root = "../x"', "must be a path inside"),
        ('root = "/x"', "must be a path inside"),
        ('branch = "--upload-pack=x"', "must be the name of a branch"),
        ('env = { NOREN_X = "1" }', "is set by Noren itself"),
        ("env = { X = 1 }", "must be a string"),
        ("verify.max_error_rate = 2", "must be at most 1"),
        ("verify.max_error_rate = nan", "must be"),
        ('build.timeout = "10 m"', "must be a duration"),
        ('build = ""', "apps.a.build.run: must be a command"),
        ('env_file = "missing.env"', "missing.env is not a file"),
        ('ssh_key_file = "missing"', "known_hosts_file: is missing"),
        ('token_env = "a-b"', "must be a variable name"),
        ('static = "x"', "must be a table"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(tmp_path: Path, lines: str, expected: str) -> None:
    assert expected in "\n".join(errors(tmp_path, APP + lines + "\n"))


@pytest.mark.parametrize(
    ("repo", "reason"),
    [
        ("-oProxyCommand=x", "leading dash"),
        ("ext::sh -c x", "transport helper"),
        ("file:///srv/a.git", "local path without file://"),
        ("http://g.example/a.git", "https:// or ssh://"),
        ("git://g.example/a.git", "https:// or ssh://"),
        ("https://user:pass@g.example/a.git", "credentials"),
        ("ssh://-oX@g.example/a.git", "dash"),
        ("ssh://git@-x/a.git", "dash"),
        ("git@-x:a.git", "must be an https"),
        ("git@host:-a", "must be an https"),
        ("host:a.git", "must be an https"),
        ("", "must be a URL"),
    ],
)
def test_a_repository_that_git_could_be_tricked_with_is_refused(tmp_path: Path, repo: str, reason: str) -> None:
    (found,) = errors(tmp_path, f'[apps.a]\nrepo = "{repo}"\nhosts = ["a.example"]\n')
    assert found.startswith("noren.toml:2: apps.a.repo: ")
    assert reason in found
    assert "pass@" not in found


@pytest.mark.parametrize(
    "repo", ["https://g.example/a.git", "ssh://git@g.example:22/a.git", "git@g.example:team/a.git"]
)
def test_the_usual_urls_are_taken_as_they_are(tmp_path: Path, repo: str) -> None:
    assert loaded(tmp_path, f'[apps.a]\nrepo = "{repo}"\nhosts = ["a.example"]').apps["a"].repo == repo


def test_defaults_merge_deeply_and_leave_out_what_does_not_fit(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        '[defaults]\nready.interval = "1s"\ninstances = 3\nenv = { A = "1", B = "1" }\nwatch = ["x/**", "y/**"]\n'
        'build.timeout = "5m"\nstatic.not_found = "oops.html"\nstatic.cache_control = { "*" = "no-store" }\n'
        + APP
        + 'env.B = "2"\nwatch = ["z/**"]\nbuild = "make"\nstatic.cache_control = { "a/*" = "immutable" }\n'
        + '[apps.b]\nrepo = "b"\nhosts = ["b.example"]\nrun = "serve"\nready = "/ok"\n',
    )
    a, b = settings.apps["a"], settings.apps["b"]
    assert a.variables == {"A": "1", "B": "2"}
    assert (a.watch, b.watch) == (("z/**",), ("x/**", "y/**"))
    assert (a.build.run, a.build.timeout) == ("make", 300)
    assert a.static.cache_control == (("a/*", "immutable"), ("*", "no-store"))
    assert (b.ready.path, b.ready.interval, b.instances) == ("/ok", 1, 3)


def test_an_error_in_defaults_is_told_once_and_there(tmp_path: Path) -> None:
    found = errors(
        tmp_path,
        '[defaults]\nkeep = "x"\ninstances = 0\nunknown = 1\nbuild = ""\n'
        + APP
        + APP.replace("a]", "b]").replace("a.ex", "b.ex"),
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["noren.toml:2", "defaults.keep"],
        ["noren.toml:3", "defaults.instances"],
        ["noren.toml:4", "defaults.unknown"],
        ["noren.toml:5", "defaults.build.run"],
    ]


def test_two_apps_that_claim_one_host_are_both_named(tmp_path: Path) -> None:
    other = '[apps.b]\nrepo = "b"\nhosts = [\n  "x.example",\n  "A.Example/",\n]\n'
    (found,) = errors(tmp_path, APP + other)
    assert found.startswith("noren.toml:8: apps.b.hosts: a.example is claimed by two apps, a and b")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("https://a.example", "without https://"),
        ("a.example:80", "without a port"),
        ("a b", "labels"),
        ("-a.example", "labels"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("a.example/../x", "plain segments"),
        ("a.example//x", "plain segments"),
        ("a.example/x?y", "plain segments"),
        ("", "must be a host"),
    ],
)
def test_a_host_that_no_request_can_have_is_refused(tmp_path: Path, host: str, reason: str) -> None:
    (found,) = errors(tmp_path, f'[apps.a]\nrepo = "a"\nhosts = ["{host}"]')
    assert reason in found


def test_listeners_must_be_addresses_outside_the_instance_ports(tmp_path: Path) -> None:
    found = errors(tmp_path, '[server]\nlisten = ["[::]:80",\n":80",\n"[::]:80",\n"127.0.0.1:20001"]\n' + APP)
    assert [line.split(": ")[0] for line in found] == ["noren.toml:3", "noren.toml:4", "noren.toml:5"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"[apps.a\n", "noren.toml:1:8: not TOML"),
        (b"[apps.a]\nrepo = \n", "noren.toml:2:8: not TOML"),
        (b'[apps.a]\nrepo = """x', "noren.toml:2:end: not TOML"),
        (b"a = 1\na = 2\n", "noren.toml:2:6: not TOML"),
        (b"a = 1\nb = '\xff'", "noren.toml:2: not UTF-8"),
        (b"", "is empty"),
        (b"a = " + b"[" * 5000, "beyond what can be read"),
        (b"a = " + b"1" * 5000, "beyond what can be read"),
        (b"apps = 1", "apps: must be a table"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_line_and_column(tmp_path: Path, raw: bytes, expected: str) -> None:
    path = tmp_path / "noren.toml"
    path.write_bytes(raw)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert expected in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.toml", "No such file"), (tmp_path, "is not a file")):
        with pytest.raises(SettingsError, match=reason):
            load(path)


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "noren.toml")
    with pytest.raises(SettingsError, match="is not a file"):
        load(tmp_path / "noren.toml")


def test_what_check_prints_is_a_file_that_means_the_same_and_has_no_secret(tmp_path: Path) -> None:
    (tmp_path / "s.env").write_text("TOKEN=geheim\n")
    settings = loaded(
        tmp_path,
        APP + 'env_file = "s.env"\nenv = { X = "tab\\t \\u007f \\"" }\ntriggers.poll = "off"\n'
        'static.cache_control = { "a b/*" = "x" }\nkeep_warm = "1500ms"\n'
        '[apps.p]\nrepo = "p"\nhosts = ["p.example"]\nrun = "serve"\nlimits.memory = "512MiB"\nstrategy = "rolling"\n',
    )
    text = effective(settings)
    assert "geheim" not in text
    assert '# from env_file: TOKEN = "***"' in text
    (tmp_path / "again.toml").write_text(text)
    again = load(tmp_path / "again.toml")
    assert again.server == settings.server
    assert again.apps["p"] == settings.apps["p"]
    assert again.apps["a"].env == settings.apps["a"].env
    assert again.apps["a"].static == settings.apps["a"].static
    assert again.apps["p"].strategy is Strategy.ROLLING


@pytest.mark.parametrize("cluster", ['deployment = "w"\nrepair = true', 'replicas = 3\nenv_from = ["secret/s"]'])
def test_what_check_prints_of_an_app_in_a_cluster_means_the_same(tmp_path: Path, cluster: str) -> None:
    settings = loaded(tmp_path, f'[apps.k]\nimage = "registry.example/web:1"\n[apps.k.kubernetes]\n{cluster}\n')
    (tmp_path / "again.toml").write_text(effective(settings))
    assert load(tmp_path / "again.toml").apps == settings.apps


def test_the_schema_knows_every_key_of_the_long_form() -> None:
    found = schema()
    app = found["$defs"]["AppTable"]
    assert {"ready", "verify", "drain", "limits", "surge", "min_ready"} <= app["properties"].keys()
    assert app["properties"]["build"]["anyOf"][0] == {"type": "string"}
