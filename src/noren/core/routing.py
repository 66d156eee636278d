"""What the proxy shall do for an app, from what the app's record says.

The engine hands the result to the proxy after each change; it is whole, so that a crash between
two changes is mended by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from noren.core.model import App, Backend, Release, Routing, Server
from noren.core.retire import RetirePhase, Retiring, Running


def route(
    app: App,
    releases: Mapping[int, Release],
    *,
    active: Running | None,
    candidate: Running | None = None,
    weight: float = 0.0,
    retiring: Sequence[Retiring] = (),
) -> Routing:
    """All new requests to ``active``, but the share ``weight`` of them to ``candidate``; 1 means all.

    The newest warm release (or, while a candidate has all traffic, the active one) backs up
    what gets the traffic: it answers at once when the last instance dies.
    """
    first, second = (candidate, active) if candidate and weight >= 1 else (active, candidate)
    warm = [r.running for r in retiring if r.phase is RetirePhase.WARM and not r.faulty]
    spare = second if first is candidate and candidate else (warm[-1] if warm else None)
    backends: list[Backend] = []
    if first:
        backends.append(first.backend(releases[first.release], spare.servers(backup=True) if spare else ()))
    if second:
        # On the way back: what met the candidate as it died still waits in its backend for a second try.
        back = active.servers(backup=True) if active and second is candidate and weight <= 0 else ()
        backends.append(second.backend(releases[second.release], back))
    backends += [_retired(r, releases) for r in retiring if r.phase is not RetirePhase.STOPPING]
    backends = _merged(backends)
    return Routing(
        app=app.name,
        hosts=app.hosts,
        release_header=app.release_header,
        backends=tuple(backends),
        active=first.name(app.name) if first else None,
        candidate=second.name(app.name) if second and 0 < weight < 1 else None,
        weight=weight if 0 < weight < 1 else 0.0,
        preview=app.preview,
    )


def _merged(backends: Sequence[Backend]) -> list[Backend]:
    """A rolling strategy retires some instances of a backend whose others still serve."""
    merged: dict[str, Backend] = {}
    for backend in backends:
        known = merged.get(backend.name)
        merged[backend.name] = replace(known, servers=known.servers + backend.servers) if known else backend
    return list(merged.values())


def _retired(retiring: Retiring, releases: Mapping[int, Release]) -> Backend:
    backend = retiring.running.backend(releases[retiring.running.release])
    if retiring.phase is not RetirePhase.DRAINING:
        return backend
    draining: tuple[Server, ...] = tuple(replace(s, draining=True) for s in backend.servers)
    return replace(backend, servers=draining)
