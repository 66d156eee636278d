"""Forge, webhook and previews in ``noren.toml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from noren.core.errors import SettingsError
from noren.core.forge import Forge, ForgeKind
from noren.core.model import App, settings_digest
from noren.settings.effective import effective
from noren.settings.file import load


def app(tmp_path: Path, text: str, name: str = "a") -> App:
    path = tmp_path / "noren.toml"
    path.write_text(text)
    return load(path).apps[name]


def written(repo: str, more: str = "") -> str:
    return f'[apps.a]\nrepo = "{repo}"\nhosts = ["a.example"]\n{more}'


PULLS = '[apps.a.pull_requests]\nhosts = "pr-{number}.a.example"\n'


@pytest.mark.parametrize(
    ("repo", "kind", "url", "project"),
    [
        ("https://github.com/example/site.git", "github", "https://github.com", "example/site"),
        ("git@github.com:example/site.git", "github", "https://github.com", "example/site"),
        ("https://gitlab.com/group/sub/site", "gitlab", "https://gitlab.com", "group/sub/site"),
        ("ssh://git@gitea.example:2222/team/site.git", "gitea", "https://gitea.example", "team/site"),
        ("https://codeberg.org/team/site.git", "gitea", "https://codeberg.org", "team/site"),
        ("https://forgejo.example:8443/team/site", "gitea", "https://forgejo.example:8443", "team/site"),
    ],
)
def test_the_forge_is_told_from_the_repository(tmp_path: Path, repo: str, kind: str, url: str, project: str) -> None:
    found = app(tmp_path, written(repo, PULLS)).forge
    assert found == Forge(kind=ForgeKind(kind), url=url, project=project)


def test_what_cannot_be_told_is_written(tmp_path: Path) -> None:
    more = 'token_env = "GIT"\n[apps.a.forge]\nkind = "gitea"\nurl = "http://127.0.0.1:3000/"\nproject = "team/a"\n'
    found = app(tmp_path, written("site", more)).forge
    assert found == Forge(kind=ForgeKind.GITEA, url="http://127.0.0.1:3000", project="team/a", token_env="GIT")


@pytest.mark.parametrize(
    ("repo", "more", "said"),
    [
        ("site", PULLS, "kind, url, project of the forge cannot be told from repo"),
        ("https://git.example/t/s", PULLS, "kind of the forge cannot be told"),
        ("https://github.com/t/s", '[apps.a.forge]\nurl = "http://git.example"', "url must be https"),
        ("https://github.com/t/s", '[apps.a.forge]\nurl = "https://me:secret@git.example"', "url must be https"),
        ("https://github.com/t/s", '[apps.a.forge]\nkind = "svn"', "kind"),
        ("https://github.com/t/s", "[apps.a.pull_requests]\nlimit = 3", "needs hosts"),
        ("https://github.com/t/s", '[apps.a.pull_requests]\nhosts = "pr.a.example"', "{number}"),
        ("https://github.com/t/s", '[apps.a.pull_requests]\nhosts = "pr-{number}.{number}.example"', "{number}"),
        ("https://github.com/t/s", '[apps.a.pull_requests]\nhosts = "-{number}.a b"', "host name"),
        ("https://github.com/t/s", PULLS + "limit = 0", "at least 1"),
        ("https://github.com/t/s", PULLS + 'env_file = "none.env"', "is missing"),
        ("https://github.com/t/s", PULLS + "fork = true", "did you mean forks"),
        ("https://github.com/t/s", '[apps.a.webhook]\nsecret = "x"', "did you mean secret_env"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, repo: str, more: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        app(tmp_path, written(repo, more))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("b", 'hosts = ["pr-7.a.example"]', "may become pr-7.a.example, which is a host of b"),
        ("a-pr-7", 'hosts = ["b.example"]', "has the name of a preview of a"),
        (
            "b",
            'hosts = ["b.example"]\npull_requests = { hosts = "PR-{number}.a.example" }',
            "is also that of the previews of a",
        ),
    ],
)
def test_a_preview_cannot_take_what_is_anothers(tmp_path: Path, name: str, more: str, said: str) -> None:
    other = f'\n[apps.{name}]\nrepo = "https://github.com/t/s"\n{more}\n'
    with pytest.raises(SettingsError) as caught:
        app(tmp_path, written("https://github.com/t/s", PULLS) + other)
    assert said in str(caught.value)


def test_check_prints_settings_that_mean_the_same_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGIN", "team:hunter2")
    (tmp_path / "preview.env").write_text("PASSWORD=hunter3\n")
    more = 'webhook = { secret_env = "HOOK" }\n' + PULLS + 'ttl = "2d"\nauth_env = "LOGIN"\nenv_file = "preview.env"\n'
    first = app(tmp_path, written("https://github.com/t/s", more))
    assert first.pull_requests
    assert first.pull_requests.login
    assert first.pull_requests.secrets == (("PASSWORD", "hunter3"),)
    text = effective(load(tmp_path / "noren.toml"))
    assert "hunter" not in text
    assert first.pull_requests.login not in text
    (tmp_path / "noren.toml").write_text(text)
    again = load(tmp_path / "noren.toml").apps["a"]
    assert (again.webhook, again.forge) == (first.webhook, first.forge)
    assert again.pull_requests
    assert again.pull_requests.ttl == 2 * 86400


def test_a_login_whose_variable_is_missing_lets_nobody_in(tmp_path: Path) -> None:
    found = app(tmp_path, written("https://github.com/t/s", PULLS + 'auth_env = "NO_SUCH"'))
    assert found.pull_requests
    assert found.pull_requests.login == ""


def test_none_of_it_makes_a_new_release(tmp_path: Path) -> None:
    plain = app(tmp_path, written("https://github.com/t/s"))
    more = 'webhook = { secret_env = "HOOK" }\n' + PULLS
    assert settings_digest(app(tmp_path, written("https://github.com/t/s", more))) == settings_digest(plain)
