"""Long transfers are compared byte by byte: what is missing, repeated, changed or stalled is a loss."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from faulty import Behaviour, Client, run_for, serving

from noren.prove.downloads import Downloads
from noren.prove.ledger import Record
from noren.prove.outcome import Outcome
from noren.prove.request import Target
from noren.prove.streams import Streams
from noren.prove.transfer import Transfer
from noren.prove.uploads import Uploads


def answers(*parts: bytes, pause: float = 0.0, declared: int | None = None, sha: str = "") -> Behaviour:
    """Send the parts as one body, with a pause after each."""
    length = sum(map(len, parts)) if declared is None else declared
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Sha256: {sha}\r\n\r\n".encode()

    async def send(client: Client, number: int, request: str) -> bool:
        client.send(head)
        for part in parts:
            client.send(part)
            await asyncio.sleep(pause)
        return True

    return send


async def one(kind: type[Transfer], behaviour: Behaviour, **options: float) -> Record:
    async with serving(behaviour) as target:
        load = kind(name="load", target=Target(port=target.port), rate=0.01, **options)  # type: ignore[arg-type]
        return (await run_for(0.1, load)).records[0]


EVENTS = [f"id: {number}\ndata: x\n\n".encode() for number in range(4)]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (answers(*EVENTS, pause=0.1), Outcome.OK),
        (answers(*EVENTS, pause=0.3), Outcome.TIMEOUT),
        (answers(*EVENTS[:3]), Outcome.WRONG_BODY),
        (answers(*EVENTS[:2], *EVENTS[1:]), Outcome.WRONG_BODY),
        (answers(*EVENTS[:3], declared=99), Outcome.CUT_SHORT),
    ],
)
def test_a_stream_is_lost_when_an_event_is_missing_twice_or_late(behaviour: Behaviour, outcome: Outcome) -> None:
    """Silence counts, not duration: the good stream takes longer than its time-out."""
    assert asyncio.run(one(Streams, behaviour, events=4, timeout=0.2)).outcome is outcome


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [(b"a" * 1000, Outcome.OK), (b"a" * 999 + b"b", Outcome.WRONG_BODY), (b"a", Outcome.WRONG_BODY)],
)
def test_a_download_is_lost_when_its_bytes_are_others(sent: bytes, outcome: Outcome) -> None:
    behaviour = answers(sent, sha=hashlib.sha256(b"a" * 1000).hexdigest())
    assert asyncio.run(one(Downloads, behaviour, size=1000)).outcome is outcome


def test_an_upload_is_lost_when_the_app_hashed_others() -> None:
    record = asyncio.run(one(Uploads, answers(b'{"sha256": "abc"}'), size=1000))
    assert record.outcome is Outcome.WRONG_BODY
    assert "the app got abc" in record.detail


def test_an_upload_that_is_refused_midway_has_the_status_of_its_refusal() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.close()

    async def scenario() -> Record:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        target = Target(port=server.sockets[0].getsockname()[1])
        load = Uploads(name="load", target=target, rate=0.01, size=10_000_000, speed=5_000_000)
        ledger = await run_for(0.1, load)
        server.close()
        await asyncio.sleep(0.2)
        return ledger.records[0]

    record = asyncio.run(scenario())
    assert (record.outcome, record.status) == (Outcome.WRONG_STATUS, 413)
    assert record.latency < 0.3
