"""Reads one HTTP/1.1 answer from a byte stream: status, headers, body by length, chunks or end of connection.

``connection`` feeds it what arrives. Own code, because a library hides what we must see: what was left over
after the answer, and how much of a body had come when the connection ended.
"""

from __future__ import annotations

from collections.abc import Callable

from noren.prove.request import Answer

Sink = Callable[[bytes], None]
HEAD_LIMIT = 65_536


class ParseError(ValueError):
    """The bytes are no HTTP/1.1 answer."""


class AnswerParser:
    """One answer to one request. ``feed`` until ``done``; ``leftover`` is then what should not be there."""

    def __init__(self, method: str, sink: Sink | None = None) -> None:
        self.started = False
        self.done = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self._method = method
        self._buffer = bytearray()
        self._body = bytearray()
        self._sink = sink if sink is not None else self._body.extend
        self._step = self._head
        self._left = 0
        self._until_close = False

    @property
    def leftover(self) -> bytes:
        """Bytes after the end of the answer."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what arrived; raises ParseError."""
        self.started = True
        self._buffer += data
        while not self.done and self._step():
            pass

    def end(self) -> bool:
        """The connection ended; whether that completes the answer."""
        self.done = self.done or self._until_close
        return self.done

    def answer(self) -> Answer:
        """The answer, once ``done``."""
        reusable = not self._until_close and self.headers.get("connection", "").lower() != "close"
        return Answer(self.status, self.headers, bytes(self._body), reusable)

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise ParseError(f"no end of the headers within {HEAD_LIMIT} bytes")
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        self.status = _status(first)
        if self.status >= 200:
            self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self._frame()
        return True

    def _frame(self) -> None:
        length = self.headers.get("content-length")
        if self._method == "HEAD" or self.status in (204, 304):
            self.done = True
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._step = self._chunk_size
        elif length is None:
            self._until_close, self._step = True, self._rest
        else:
            self._left, self._step = _number(length, 10), self._sized
            self.done = self._left == 0

    def _sized(self) -> bool:
        self._take()
        self.done = self._left == 0
        return False

    def _rest(self) -> bool:
        self._left = len(self._buffer)
        self._take()
        return False

    def _take(self) -> None:
        part = bytes(self._buffer[: self._left])
        del self._buffer[: len(part)]
        self._left -= len(part)
        if part:
            self._sink(part)

    def _line(self) -> str | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        line = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + 2]
        return line

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._left = _number(line.partition(";")[0], 16)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        self._take()
        if self._left:
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise ParseError(f"a chunk is longer than it says: {line[:40]!r}")
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        self.done = line == ""
        return line is not None


def _status(line: str) -> int:
    version, _, rest = line.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ParseError(f"no HTTP status line: {line[:60]!r}")
    return _number(rest[:3], 10)


def _number(text: str, base: int) -> int:
    digits = text.strip()
    if not digits.isalnum():
        raise ParseError(f"no number: {text[:40]!r}")
    try:
        return int(digits, base)
    except ValueError as error:
        raise ParseError(f"no number: {text[:40]!r}") from error
