"""Durations, sizes and port ranges as people write them, and back.

Called by the tables when settings are read and by ``effective`` when they are shown. Each
reader raises ValueError with a sentence that says how to write it.
"""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10, "KB": 10**3, "B": 1}

DURATION = r"^([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)$"
SIZE = r"^([0-9]{1,9})(B|KB|MB|GB|KiB|MiB|GiB)$"
PORTS = r"^([0-9]{1,5})-([0-9]{1,5})$"


def _parts(pattern: str, value: object, rule: str) -> tuple[str, str]:
    match = re.fullmatch(pattern, value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(rule)
    return match[1], match[2]


def duration(value: object) -> float:
    """Seconds of ``"250ms"``, ``"30s"``, ``"10m"``, ``"1h"`` or ``"7d"``."""
    number, unit = _parts(DURATION, value, 'must be a duration such as "250ms", "30s", "10m" or "1h"')
    return round(float(number) * _SECONDS[unit], 6)


def size(value: object) -> int:
    """Bytes of ``"512MB"`` (decimal) or ``"512MiB"`` (binary)."""
    number, unit = _parts(SIZE, value, 'must be a size such as "64KB", "512MB", "2GB" or "512MiB"')
    return int(number) * _BYTES[unit]


def ports(value: object) -> tuple[int, int]:
    """First and last port of ``"20000-28999"``."""
    first, last = _parts(PORTS, value, 'must be a range of ports such as "20000-28999"')
    if not 1024 <= int(first) <= int(last) <= 65535:
        raise ValueError("must go from a lower to a higher port, both within 1024-65535")
    return int(first), int(last)


def write_duration(seconds: float) -> str:
    """The text with the largest unit that reads back as so many seconds."""
    for unit in ("h", "m", "s"):
        count = seconds / _SECONDS[unit]
        if count.is_integer() and (count or unit == "s"):
            return f"{count:.0f}{unit}"
    return f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + "ms"


def write_size(count: int) -> str:
    """The text with the largest unit that divides a number of bytes."""
    unit = next(unit for unit, factor in _BYTES.items() if count % factor == 0 and (count or unit == "B"))
    return f"{count // _BYTES[unit]}{unit}"
