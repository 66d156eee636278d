"""The small types that settings are made of: each a check with a sentence that says how to write it.

Used by ``tables``. Pydantic calls the checks; the JSON Schema shows what is written, not what it becomes.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from noren import timetable
from noren.core import window
from noren.core.model import Notify
from noren.settings import envfile, hosts, quantity

LATER_KINDS = ("container", "tcp")
LATER_STRATEGIES = ("canary", "recreate")


def _not_control(text: str) -> str:
    if not text.strip() or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ValueError("must not be empty or hold control characters")
    return text


def _command(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("must be a command")
    return text


def _inside(text: str) -> str:
    _not_control(text)
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise ValueError("must be a path inside the repository or output: relative, without ..")
    return text.rstrip("/") or "."


def _glob(text: str) -> str:
    if text.startswith((":", "!", "-")):
        raise ValueError('must be a pattern of paths such as "docs/**"')
    return _inside(text)


def _branch(text: str) -> str:
    if not text or text.startswith("-") or ".." in text or re.search(r"[\x00-\x20\x7f~^:?*\[\\]", text):
        raise ValueError("must be the name of a branch")
    return text


def _url_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError('must be a path such as "/healthz", with spaces and non-ASCII as % escapes')
    return text


def _variable(text: str) -> str:
    if reason := envfile.reserved(text):
        raise ValueError(reason)
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL byte")
    return text


def _listen(text: str) -> str:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})", text)
    try:
        if match is None or not 1 <= int(match[2]) <= 65535:
            raise ValueError
        ipaddress.ip_address(match[1].strip("[]"))
    except ValueError as exc:
        raise ValueError('must be an address and a port such as "[::]:8080" or "127.0.0.1:8080"') from exc
    return text


def _label(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
        raise ValueError("must be the name of an object in the cluster: a-z, 0-9 and inner dashes")
    return text


def _reference(text: str) -> str:
    name, at, _ = text.removeprefix("http://").partition("@")
    if at or not re.fullmatch(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?", name):
        raise ValueError('must be an image with its registry such as "registry.example/shop/web", without a digest')
    return text


def _env_from(text: str) -> str:
    kind, _, name = text.partition("/")
    if kind not in ("secret", "configmap"):
        raise ValueError('must be "secret/NAME" or "configmap/NAME"')
    return f"{kind}/{_label(name)}"


def _gateway(text: str) -> str:
    namespace, _, name = text.partition("/")
    if not name:
        raise ValueError('must be a Gateway as "namespace/name"')
    return f"{_label(namespace)}/{_label(name)}"


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be longer than 0s")
    return seconds


def _poll(value: object) -> object:
    return None if value == "off" else _positive(quantity.duration(value))


def _schedule(text: str) -> str:
    timetable.next_after(text, UTC, datetime.now(UTC))
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError('must be the name of a time zone such as "Europe/Berlin" or "UTC"') from exc
    return text


def _window(text: str) -> str:
    window.parse(text)
    return text


def _web_url(text: str) -> str:
    if not re.fullmatch(r"https?://[!-~]+", text):
        raise ValueError('must be a URL such as "https://example.org/hooks/noren"')
    return text


def _tags(text: str) -> str:
    if not text or text.startswith("-") or ".." in text or re.search(r"[\x00-\x20\x7f~^:\\]", text):
        raise ValueError('must be a pattern of tags such as "v*"')
    return text


def _one_of(known: tuple[str, ...], later: tuple[str, ...] = ()) -> BeforeValidator:
    def check(value: object) -> object:
        if value in later:
            raise ValueError(f"is not yet supported: use {' or '.join(known)}")
        if value not in known:
            raise ValueError(f"must be {' or '.join(known)}")
        return value

    return BeforeValidator(check, json_schema_input_type=Literal[known])


def short(key: str, table: type[BaseModel]) -> BeforeValidator:
    """A table that may be written as the string of its main key."""

    def expand(value: object) -> object:
        return expanded(key, value)

    return BeforeValidator(expand, json_schema_input_type=str | table)


def expanded(key: str, value: object) -> object:
    """``"CMD"`` as ``{key: "CMD"}``; anything else as it is."""
    return {key: value} if isinstance(value, str) else value


def _written(pattern: str) -> Any:
    return Annotated[str, Field(pattern=pattern)]


Text = Annotated[str, AfterValidator(_not_control)]
Command = Annotated[str, AfterValidator(_command)]
Inside = Annotated[str, AfterValidator(_inside)]
Glob = Annotated[str, AfterValidator(_glob)]
Branch = Annotated[str, AfterValidator(_branch)]
UrlPath = Annotated[str, AfterValidator(_url_path)]
Variable = Annotated[str, AfterValidator(_variable)]
Value = Annotated[str, AfterValidator(_no_nul)]
Listen = Annotated[str, AfterValidator(_listen)]
Host = Annotated[str, BeforeValidator(hosts.host, json_schema_input_type=str)]
PreviewHost = Annotated[str, BeforeValidator(hosts.preview_host, json_schema_input_type=str)]
ForgeName = Annotated[str, _one_of(("github", "gitlab", "gitea"), ())]
Duration = Annotated[float, BeforeValidator(quantity.duration, json_schema_input_type=_written(quantity.DURATION))]
Positive = Annotated[Duration, AfterValidator(_positive)]
Poll = Annotated[float | None, BeforeValidator(_poll, json_schema_input_type=_written(f"^off$|{quantity.DURATION}"))]
Schedule = Annotated[str, AfterValidator(_schedule)]
Zone = Annotated[str, AfterValidator(_zone)]
WindowText = Annotated[str, AfterValidator(_window)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
Tags = Annotated[str, AfterValidator(_tags)]
Size = Annotated[int, BeforeValidator(quantity.size, json_schema_input_type=_written(quantity.SIZE))]
Ports = Annotated[tuple[int, int], BeforeValidator(quantity.ports, json_schema_input_type=_written(quantity.PORTS))]
NotifyName = Annotated[str, _one_of(tuple(Notify))]
KindName = Annotated[str, _one_of(("static", "process", "kubernetes"), LATER_KINDS)]
ModeName = Annotated[str, _one_of(("adopt", "own"))]
Label = Annotated[str, AfterValidator(_label)]
Reference = Annotated[str, AfterValidator(_reference)]
EnvFrom = Annotated[str, AfterValidator(_env_from)]
Gateway = Annotated[str, AfterValidator(_gateway)]
StrategyName = Annotated[str, _one_of(("blue-green", "rolling"), LATER_STRATEGIES)]
