"""Writes HAProxy's configuration and map files.

Called before each start only: what changes while it runs goes through the admin socket. Names of files are
bare because HAProxy runs inside its folder.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from string import Template

from noren.adapters.haproxy.addresses import Address
from noren.adapters.haproxy.folder import SUCCESSOR
from noren.adapters.haproxy.table import DEEPEST
from noren.adapters.haproxy.view import SLOTS, TAKEN_OVER, ServerView, View, slot_name
from noren.core.errors import HostError
from noren.core.webhook import LARGEST, SENT_AT_MOST

_MOST, _LEAST = 20_000, 1_000
# Beside two descriptors a connection: listeners, health checks, pollers, pipes of the threads.
_SPARE = 500
FEWEST_FILES, MOST_FILES = _LEAST * 2 + _SPARE, _MOST * 2 + _SPARE
_THREADS = 8

_TEMPLATE = Template(resources.files("noren.adapters.haproxy").joinpath("template.cfg").read_text())

# An app that closes idle connections closes many at a time, and HAProxy takes the longest idle one first: a second try
# may meet the next close. It counts an empty answer twice, so that these are five tries, not ten.
_READ = """
backend {slot}-read
  http-reuse always
  retries 10
  retry-on conn-failure empty-response
  http-request cache-use sites if {{ var(txn.site) -m found }} !{{ req.hdr(range) -m found }}
  http-response del-header Last-Modified if {{ var(txn.site) -m found }}
  http-response cache-store sites if {{ var(txn.site) -m found }} {{ status 200 }}
"""

# What a replaced HAProxy is still asked: by its maps it knows nothing but the way to the one that took over.
_SUCCESSOR = f"""
backend {TAKEN_OVER}-read
  http-request set-path %[var(txn.path)]
  server {TAKEN_OVER} unix@{SUCCESSOR} send-proxy-v2

backend {TAKEN_OVER}-write
  http-request set-path %[var(txn.path)]
  http-reuse never
  server {TAKEN_OVER} unix@{SUCCESSOR} send-proxy-v2
"""

_WRITE = """
backend {slot}-write
  http-reuse safe
  retry-on conn-failure
"""


def render(addresses: Sequence[Address], view: View) -> str:
    """The whole configuration, with the servers of ``view``; raises HostError when files are too few."""
    fixed = _TEMPLATE.substitute(
        maxconn=connections(),
        threads=min(os.cpu_count() or 1, _THREADS),
        binds="".join(f"  {address.bind}\n" for address in addresses),
        successor=SUCCESSOR,
        taken_over=TAKEN_OVER,
        strip="".join(_strip(depth) for depth in range(1, DEEPEST + 1)),
        hook_limit=LARGEST,
        hook_most=SENT_AT_MOST,
    )
    return "".join([fixed, _SUCCESSOR, *_backends(view.servers)])


def front(text: str) -> str:
    """Of a configuration all but the backends of releases, which change while HAProxy runs."""
    return text.partition(f"\nbackend {slot_name(0)}-")[0]


def render_map(entries: Mapping[str, str]) -> str:
    """A map file."""
    return "".join(f"{key} {value}\n" for key, value in entries.items())


def connections() -> int:
    """How many connections at once the limit of open files allows; raises HostError when it is too small."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(_MOST, (hard - _SPARE) // 2)
    if most < _LEAST:
        raise HostError(
            f"the limit of open files is too small for {_LEAST} connections at once",
            seen=f"hard limit {hard}, needed {FEWEST_FILES}",
            hint="raise it: ulimit -Hn, or LimitNOFILE= in the systemd unit",
        )
    return most


def _strip(depth: int) -> str:
    return f"  http-request set-path /%[path,field({depth + 2},/,0)] if {{ var(txn.depth) -m str {depth} }}\n"


def _backends(servers: Mapping[str, ServerView]) -> Iterator[str]:
    lines: dict[str, list[str]] = {}
    for name, server in servers.items():
        backend, _, server_name = name.partition("/")
        lines.setdefault(backend, []).append(f"  server {server_name} {server.arguments}\n")
    for slot in map(slot_name, range(SLOTS)):
        yield _READ.format(slot=slot)
        yield from lines.get(f"{slot}-read", ())
        yield _WRITE.format(slot=slot)
        yield from lines.get(f"{slot}-write", ())
