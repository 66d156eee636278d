"""The log of one build: secrets masked, never longer than it may be.

Used by ``build_process``, which writes what the build says, and by Builds for the end of it in an error.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

MOST = 20_000_000
_TAIL = 1_000_000
_SHORTEST = 4
_STARS = b"***"


class Mask:
    """Replaces secrets in a stream, also where a chunk ends within one.

    Best effort: as they are (and each line of them), in base64, hex and URL encoding.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        needles = {needle for secret in secrets for needle in _spellings(secret)}
        longest_first = sorted(needles, key=lambda needle: (-len(needle), needle))
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if needles else None
        self._longest = max(map(len, needles), default=1)
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be shown by now: all but an end in which a secret may have begun."""
        data = self._held + chunk
        # What begins before this point can be told: no secret is longer, and none spans lines.
        known = max(data.rfind(b"\n") + 1, len(data) - self._longest + 1)
        shown, position = bytearray(), 0
        for match in self._pattern.finditer(data) if self._pattern else ():
            if match.start() >= known:
                break
            shown += data[position : match.start()] + _STARS
            position = match.end()
        cut = max(known, position)
        self._held = data[cut:]
        return bytes(shown + data[position:cut])

    def rest(self) -> bytes:
        """What was held back, at the end of the stream."""
        held, self._held = self._held, b""
        return self._pattern.sub(_STARS, held) if self._pattern else held


class BuildLog:
    """A file of at most ``most`` bytes: the head as it comes, the last megabyte when it ends, a note between."""

    def __init__(self, path: Path, mask: Mask, most: int = MOST) -> None:
        self._mask = mask
        self._file = path.open("wb", buffering=0)
        path.chmod(0o600)
        self._keep = min(_TAIL, most // 4)
        self._room = most - self._keep
        self._late = bytearray()
        self._dropped = 0

    def write(self, chunk: bytes) -> None:
        """Mask and write."""
        self._put(self._mask.feed(chunk))

    def close(self) -> None:
        """Write what was held back; again: no change."""
        if self._file.closed:
            return
        self._put(self._mask.rest())
        if self._dropped:
            self._file.write(f"\n… {self._dropped} bytes left out here by Noren …\n".encode())
        self._file.write(self._late)
        self._file.close()

    def _put(self, data: bytes) -> None:
        head, late = data[: self._room], data[self._room :]
        if head:
            self._file.write(head)
            self._room -= len(head)
        self._late += late
        if (excess := len(self._late) - self._keep) > 0:
            del self._late[:excess]
            self._dropped += excess


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log, at most ``count`` lines of 300 characters; "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(line[:300] for line in lines[-count:])


def _spellings(secret: str) -> Iterable[bytes]:
    """How a secret may show up; lines of it by themselves, as no needle may span lines."""
    for plain in (secret, *secret.splitlines()):
        raw = plain.encode()
        if len(raw) < _SHORTEST:
            continue
        if b"\n" not in raw:
            yield from (raw, quote(plain, safe="").encode())
        yield from (base64.b64encode(raw).rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"="))
        yield from (raw.hex().encode(), raw.hex().upper().encode())
