"""What people are told of an outcome: which ones, and the message.

Made by ``engine/conclude.py`` from the receipt, and by ``engine/rebuild.py`` of a scheduled build that failed.
The JSON is a contract (docs: "Notifications"). ``line`` is also what the command line shows of a receipt.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_GOOD = ("kept", "superseded")
_TOLD = ("kind", "rollout", "release", "revision", "from_release", "trigger", "outcome", "reason", "requests")


def line(receipt: Json) -> str:
    """``receipt website rollout 7: 18,204 requests, 0 failed, 2 retried, 0 held; kept: …``."""
    head = f"receipt {receipt['app']} rollout {receipt['rollout']}: {_requests(receipt)}"
    return f"{head}; {receipt['outcome']}" + (f": {receipt['reason']}" if receipt["reason"] else "")


def _requests(receipt: Json) -> str:
    requests: Json | None = receipt["requests"]
    if requests is None:
        return "no request passed our proxy"
    counts = ", ".join(f"{requests[name]:,} {name}" for name in ("failed", "retried", "held"))
    incomplete = "" if receipt["complete"] else " (incomplete: the proxy died in between)"
    return f"{requests['total']:,} requests, {counts}{incomplete}"


def worth(receipt: Json, notify: str, attempt: int) -> bool:
    """Whether people are told of it.

    Of faults outside that are tried again and again only the first is told. A release that crashed after it was
    kept, and was replaced by the one before it, is a failure though the way back was kept.
    """
    if notify == "none" or receipt["outcome"] == "superseded":
        return False
    if receipt["outcome"] in _GOOD:
        return notify == "all" or receipt["trigger"].startswith("crash loop")
    return attempt == 0


def of_receipt(receipt: Json) -> Json:
    """The message of a rollout's outcome."""
    told = {key: receipt[key] for key in _TOLD}
    return {"id": f"{receipt['app']}/{receipt['rollout']}", "app": receipt["app"], **told} | {
        "at": receipt["ended_at"],
        "text": line(receipt),
    }


def of_rebuild(app: str, *, at: str, revision: str, release: int | None, reason: str, now: str) -> Json:
    """The message of a scheduled build that failed; ``release`` is the one that stays."""
    empty: Json = dict.fromkeys(_TOLD)
    known = {"kind": "rebuild", "revision": revision, "from_release": release, "trigger": "schedule"}
    text = f"{app}: what is active was built again for {at} and failed: {reason}"
    told = {"outcome": "failed", "reason": reason, "at": now, "text": text}
    return {"id": f"{app}/rebuild/{at}", "app": app, **empty, **known, **told}
