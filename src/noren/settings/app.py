"""A validated table as the core's App: defaults filled in, each from the one place that has them.

Called by ``file`` once nothing is wrong.
"""

from __future__ import annotations

from typing import Any

from noren.core.forge import PullRequests
from noren.core.model import (
    App,
    Build,
    Credentials,
    Drain,
    Kind,
    Kubernetes,
    Limits,
    Notify,
    Ready,
    Static,
    Strategy,
    Triggers,
    Verify,
    Webhook,
)
from noren.core.source import WATCHED
from noren.settings.defaults import kind_of
from noren.settings.outside import Outside
from noren.settings.tables import AppTable, Table

# Files do not warm up or leak: what is wrong with them shows within seconds.
_STATIC_BAKE_TIME = 10.0

_SECTIONS = {"build": Build, "webhook": Webhook, "ready": Ready, "drain": Drain, "limits": Limits}
_LISTS = ("watch", "hosts")
_ELSEWHERE = ("kind", "strategy", "notify", "repo", "env", "env_file", "ssh_key_file", "known_hosts_file", "token_env")


def effective_app(name: str, table: AppTable, outside: Outside) -> App:
    """The app as it will run."""
    written = table.written()
    kind = Kind(str(kind_of(written)))
    plain = {key: value for key, value in written.items() if not isinstance(value, Table) and key not in _ELSEWHERE}
    plain.update({key: tuple(written[key]) for key in _LISTS if key in written})
    plain.setdefault("watch", _whole(written.get("root", ".")))
    return App(
        name=name,
        kind=kind,
        repo=outside.repo or f"{WATCHED}{written.get('image', '')}",
        strategy=Strategy(written.get("strategy", Strategy.BLUE_GREEN)),
        triggers=_triggers(written),
        notify=Notify(written.get("notify", Notify.FAILURES)),
        credentials=Credentials(
            ssh_key_file=outside.ssh_key_file,
            known_hosts_file=outside.known_hosts_file,
            token_env=written.get("token_env"),
        ),
        env=tuple(written.get("env", {}).items()),
        secrets=outside.secrets,
        static=_static(written),
        verify=_verify(written, kind),
        forge=outside.forge,
        pull_requests=_previews(written, outside),
        kubernetes=_kubernetes(name, written, outside) if kind is Kind.KUBERNETES else None,
        **{key: make(**written[key].written()) for key, make in _SECTIONS.items() if key in written},
        **plain,
    )


def _whole(root: str) -> tuple[str, ...]:
    return () if root == "." else (f"{root}/**",)


def _triggers(written: dict[str, Any]) -> Triggers:
    values: dict[str, Any] = written["triggers"].written() if "triggers" in written else {}
    if "windows" in values:
        values["windows"] = tuple(values["windows"])
    return Triggers(**values)


def _previews(written: dict[str, Any], outside: Outside) -> PullRequests | None:
    if "pull_requests" not in written:
        return None
    values = {key: value for key, value in written["pull_requests"].written().items() if key != "env_file"}
    return PullRequests(**values, login=outside.login, secrets=outside.preview_secrets)


def _static(written: dict[str, Any]) -> Static:
    values: dict[str, Any] = written["static"].written() if "static" in written else {}
    if "cache_control" in values:
        values["cache_control"] = tuple(values["cache_control"].items())
    return Static(**values)


def _kubernetes(name: str, written: dict[str, Any], outside: Outside) -> Kubernetes:
    values: dict[str, Any] = written["kubernetes"].written() if "kubernetes" in written else {}
    values.setdefault("mode", "adopt" if "deployment" in values else "own")
    values.setdefault("deployment", name)
    values |= {"kubeconfig": outside.kubeconfig, "registry_auth_file": outside.registry_auth_file}
    values.update({key: tuple(values[key]) for key in ("checks", "env_from") if key in values})
    return Kubernetes(**values)


def _verify(written: dict[str, Any], kind: Kind) -> Verify:
    values: dict[str, Any] = written["verify"].written() if "verify" in written else {}
    if kind is Kind.STATIC:
        values.setdefault("bake_time", _STATIC_BAKE_TIME)
    return Verify(**values)
