"""What the cluster says about a pod that failed: its events, and the end of its log.

Called by ``traffic`` and ``probes`` for the reason of a verdict; what cannot be had is left out.
"""

from __future__ import annotations

from noren.adapters.kubernetes.api import Json
from noren.adapters.kubernetes.clusters import Place
from noren.adapters.kubernetes.fault import ApiFault
from noren.adapters.kubernetes.standing import Fault

_LINES, _CHARACTERS = "20", 2000
_EVENTS = 4


async def explained(place: Place, fault: Fault) -> str:
    """The fault with the newest warnings about its pod and the log of the container that ended before this one."""
    if fault.pod is None:
        return str(fault)
    events = await _events(place, fault.pod)
    log = await _log(place, fault.pod, fault.container)
    told = f"; events: {' | '.join(events)}" if events else ""
    return f"{fault}{told}" + (f"; the end of its log:\n{log}" if log else "")


async def _events(place: Place, pod: str) -> list[str]:
    try:
        answer = await place.api.get(place.core("events"), fieldSelector=f"involvedObject.name={pod}")
    except ApiFault:
        return []
    warnings: list[Json] = [item for item in answer["items"] if item.get("type") == "Warning"]
    warnings.sort(key=lambda item: item.get("lastTimestamp") or item.get("eventTime") or "")
    texts = dict.fromkeys(f"{item.get('reason')}: {item.get('message', '').strip()}" for item in warnings)
    return list(texts)[-_EVENTS:]


async def _log(place: Place, pod: str, container: str | None) -> str:
    chosen = {"container": container} if container else {}
    for previous in ("true", "false"):
        try:
            path = f"{place.core('pods')}/{pod}/log"
            text = await place.api.text(path, previous=previous, tailLines=_LINES, **chosen)
        except ApiFault:
            continue
        if text.strip():
            return text.strip()[-_CHARACTERS:]
    return ""
