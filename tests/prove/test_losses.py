"""Every way to lose a request shows up under its own name and in the right number."""

from __future__ import annotations

import asyncio
import socket

import pytest
from faulty import OK, Behaviour, Client, outcomes, run_for, serving

from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive, NewConnection, Posts
from noren.prove.ledger import Ledger
from noren.prove.outcome import Outcome
from noren.prove.request import Target


async def resets_mid_body(client: Client, number: int, head: str) -> bool | None:
    client.send(OK[:-1] if number % 10 == 0 else OK)
    if number % 10 == 0:
        await client.writer.drain()
        await asyncio.sleep(0.01)
        client.reset()
        return True
    return None


async def ends_mid_body(client: Client, number: int, head: str) -> bool:
    client.send(OK[:-1] if number % 10 == 0 else OK)
    return number % 10 == 0


async def closes_when_asked(client: Client, number: int, head: str) -> bool:
    """As a server whose idle close meets a request on the wire."""
    if number % 10:
        client.send(OK)
    return number % 10 == 0


async def drops_each_tenth(client: Client, number: int, head: str) -> None:
    if number % 10:
        client.send(OK)


async def answers_twice(client: Client, number: int, head: str) -> None:
    client.send(OK + OK if number % 10 == 0 else OK)


async def answers_again_later(client: Client, number: int, head: str) -> bool:
    client.send(OK)
    if number % 10 == 0:
        await asyncio.sleep(0.002)
        client.send(OK)
    return False


async def is_another_app(client: Client, number: int, head: str) -> None:
    client.send(OK.replace(b"shop@", b"blog@") if number % 10 == 0 else OK)


async def has_no_release(client: Client, number: int, head: str) -> None:
    client.send(OK.replace(b"X-Noren-Release", b"X-Other") if number % 10 == 0 else OK)


async def fails(client: Client, number: int, head: str) -> None:
    client.send(OK.replace(b"200 OK", b"503 Service Unavailable") if number % 10 == 0 else OK)


async def speaks_no_http(client: Client, number: int, head: str) -> None:
    client.send(b"220 mail ready\r\n\r\n" if number % 10 == 0 else OK)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (resets_mid_body, Outcome.CUT_SHORT),
        (ends_mid_body, Outcome.CUT_SHORT),
        (closes_when_asked, Outcome.RESET),
        (drops_each_tenth, Outcome.TIMEOUT),
        (answers_twice, Outcome.DUPLICATE),
        (is_another_app, Outcome.WRONG_SERVICE),
        (has_no_release, Outcome.WRONG_SERVICE),
        (fails, Outcome.WRONG_STATUS),
        (speaks_no_http, Outcome.WRONG_BODY),
    ],
)
def test_each_loss_has_its_class_and_count(behaviour: Behaviour, outcome: Outcome) -> None:
    async def scenario() -> Ledger:
        async with serving(behaviour) as target:
            kinds = {"L1": NewConnection, "L2": KeepAlive, "posts": Posts}
            return await run_for(
                0.3, *(kind(name=name, target=target, rate=110, timeout=0.2) for name, kind in kinds.items())
            )

    ledger = asyncio.run(scenario())
    tenth = len(ledger.records) // 10
    assert tenth in range(9, 11)
    assert outcomes(ledger) == {Outcome.OK: len(ledger.records) - tenth, outcome: tenth}, ledger.lost()[0]


def test_an_answer_that_comes_again_while_idle_refutes_the_first() -> None:
    async def scenario() -> Ledger:
        async with serving(answers_again_later) as target:
            return await run_for(0.5, KeepAlive(name="load", target=target, rate=100, connections=4))

    assert outcomes(asyncio.run(scenario()))[Outcome.DUPLICATE] in range(4, 6)


def test_what_cannot_connect_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = Target(port=unused.getsockname()[1])
        ledger = asyncio.run(run_for(0.2, KeepAlive(name="load", target=target, rate=50)))
    assert set(outcomes(ledger)) == {Outcome.REFUSED}


@pytest.mark.parametrize("reset", [True, False])
def test_a_connection_that_is_accepted_and_dropped_is_reset_and_no_timeout(reset: bool) -> None:
    """As when a listener closes with connections in its accept queue."""

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reset:
            Client(reader, writer).reset()
        writer.close()

    async def scenario() -> Ledger:
        async with await asyncio.start_server(drop, "127.0.0.1", 0) as server:
            target = Target(port=server.sockets[0].getsockname()[1])
            return await run_for(0.3, KeepAlive(name="load", target=target, rate=100, timeout=2))

    assert set(outcomes(asyncio.run(scenario()))) == {Outcome.RESET}


def test_a_body_of_another_release_is_wrong() -> None:
    async def confused(client: Client, number: int, head: str) -> None:
        body = b'{"release": "%d"}' % (2 if number % 10 == 0 else 1)
        client.send(b"HTTP/1.1 200 OK\r\nX-Noren-Release: shop@1\r\nContent-Length: 16\r\n\r\n" + body)

    async def scenario() -> Ledger:
        async with serving(confused) as target:
            return await run_for(0.5, KeepAlive(name="load", target=target, rate=100, check=names_its_release))

    ledger = asyncio.run(scenario())
    assert outcomes(ledger)[Outcome.WRONG_BODY] == len(ledger.records) // 10
    assert "shop@1 is routed, release 2 answered" in ledger.lost()[0].detail


def test_an_idle_connection_that_the_server_closed_is_no_loss() -> None:
    async def closes_after_the_answer(client: Client, number: int, head: str) -> bool:
        client.send(OK)
        return number % 3 == 0

    async def scenario() -> Ledger:
        async with serving(closes_after_the_answer) as target:
            return await run_for(0.5, Posts(name="load", target=target, rate=100, connections=2))

    assert set(outcomes(asyncio.run(scenario()))) == {Outcome.OK}


def test_what_was_sent_and_lost_is_never_sent_again() -> None:
    seen: list[str] = []

    async def loses_all(client: Client, number: int, head: str) -> bool:
        seen.append(head)
        return True

    async def scenario() -> Ledger:
        async with serving(loses_all) as target:
            return await run_for(0.3, Posts(name="load", target=target, rate=100, connections=4))

    ledger = asyncio.run(scenario())
    assert set(outcomes(ledger)) == {Outcome.RESET}
    assert len(seen) == len(ledger.records)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nTrailer: t\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_complete_answers_of_every_framing_are_ok_byte_by_byte(answer: bytes) -> None:
    async def drips(client: Client, number: int, head: str) -> None:
        for position in range(len(answer)):
            client.send(answer[position : position + 1])
            await asyncio.sleep(0)

    async def scenario() -> Ledger:
        async with serving(drips) as target:
            return await run_for(0.1, KeepAlive(name="load", target=Target(port=target.port), rate=50))

    assert set(outcomes(asyncio.run(scenario()))) == {Outcome.OK}


def test_an_answer_that_ends_with_its_connection_is_complete() -> None:
    async def until_close(client: Client, number: int, head: str) -> bool:
        client.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        return True

    async def scenario() -> Ledger:
        async with serving(until_close) as target:
            return await run_for(0.1, KeepAlive(name="load", target=Target(port=target.port), rate=50))

    assert set(outcomes(asyncio.run(scenario()))) == {Outcome.OK}
