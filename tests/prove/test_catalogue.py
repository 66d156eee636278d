"""L7 and L8 are answered by good servers and find bad ones; every name of the catalogue is a load."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from faulty import OK, Client, good, outcomes, run_for, serving
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from noren.core.errors import UsageError
from noren.prove.catalogue import WORDS, Shape, loads
from noren.prove.hostile import Hostile
from noren.prove.http2 import Http2
from noren.prove.ledger import Ledger
from noren.prove.outcome import Outcome
from noren.prove.request import Target, gets, mix, posts

Answering = Callable[[H2Connection, int, int], None]
"""(connection, stream, number of the request)"""


def fine(connection: H2Connection, stream: int, number: int) -> None:
    connection.send_headers(stream, [(":status", "200"), ("x-noren-release", "shop@1")])
    connection.send_data(stream, b"ok", end_stream=True)


def reset_each_fifth(connection: H2Connection, stream: int, number: int) -> None:
    if number % 5:
        fine(connection, stream, number)
    else:
        connection.reset_stream(stream)


def never_end_each_fifth(connection: H2Connection, stream: int, number: int) -> None:
    connection.send_headers(stream, [(":status", "200"), ("x-noren-release", "shop@1")])
    connection.send_data(stream, b"ok", end_stream=bool(number % 5))


def go_away_each_fifth(connection: H2Connection, stream: int, number: int) -> None:
    fine(connection, stream, number)
    if number % 5 == 0:
        connection.close_connection(last_stream_id=stream)


@contextlib.asynccontextmanager
async def http2(answering: Answering) -> AsyncIterator[Target]:
    """A server that speaks HTTP/2 with prior knowledge."""
    number = 0
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        writers.append(writer)
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    number += 1
                    answering(connection, event.stream_id or 0, number)
            writer.write(connection.data_to_send())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Target(port=server.sockets[0].getsockname()[1], app="shop")
    finally:
        server.close()
        for writer in writers:
            writer.close()


def run_http2(answering: Answering) -> Ledger:
    async def scenario() -> Ledger:
        async with http2(answering) as target:
            requests = mix(0.5, gets("/"), posts())
            load = Http2(name="L7", target=target, rate=100, connections=2, requests=requests, timeout=1.0)
            return await run_for(0.5, load)

    return asyncio.run(scenario())


def test_http2_is_answered_over_few_connections() -> None:
    ledger = run_http2(fine)
    assert ledger.lost() == []
    assert len(ledger.records) >= 40


def test_http2_streams_that_end_with_a_goodbye_are_not_lost() -> None:
    assert run_http2(go_away_each_fifth).lost() == []


@pytest.mark.parametrize(
    ("answering", "outcome"), [(reset_each_fifth, Outcome.RESET), (never_end_each_fifth, Outcome.TIMEOUT)]
)
def test_http2_finds_what_is_lost(answering: Answering, outcome: Outcome) -> None:
    ledger = run_http2(answering)
    assert outcomes(ledger)[outcome] == len(ledger.records) // 5


def test_clients_that_misbehave_within_http_are_owed_their_answers() -> None:
    async def scenario() -> Ledger:
        async with serving(good) as target:
            return await run_for(0.6, Hostile(name="L8", target=target, rate=20, patience=0.2, timeout=2.0))

    ledger = asyncio.run(scenario())
    assert ledger.lost() == []
    assert len(ledger.records) >= 12


def test_a_server_that_answers_only_the_first_of_pipelined_requests_is_found() -> None:
    async def closes(client: Client, number: int, head: str) -> bool:
        client.send(OK)
        return True

    async def scenario() -> Ledger:
        async with serving(closes) as target:
            return await run_for(0.4, Hostile(name="L8", target=target, rate=20, patience=0.2, timeout=2.0))

    ledger = asyncio.run(scenario())
    assert {record.outcome for record in ledger.lost()} == {Outcome.RESET}


def test_each_name_of_the_catalogue_is_a_load_of_that_name() -> None:
    target = Target(port=1)
    made = loads(tuple(WORDS), Shape(target=target, bystander=target, rate=100))
    assert {load.name.partition("-")[0] for load in made} == set(WORDS)


def test_a_load_that_is_none_and_a_bystander_that_is_missing_are_told() -> None:
    with pytest.raises(UsageError, match="no load is named L10"):
        loads(("L1", "L10"), Shape(target=Target(port=1), rate=1))
    with pytest.raises(UsageError, match="L9 needs another app"):
        loads(("L9",), Shape(target=Target(port=1), rate=1))
