"""A 304 must mean what the answering release would serve; both kinds of lie are found."""

from __future__ import annotations

import asyncio

import pytest
from faulty import Behaviour, Client, outcomes, run_for, serving

from noren.prove.conditional import Conditional
from noren.prove.ledger import Ledger
from noren.prove.outcome import Outcome


def answer(release: int, etag: str, body: str, held: bool) -> bytes:
    head = f"X-Noren-Release: shop@{release}\r\nETag: {etag}\r\n"
    if held:
        return f"HTTP/1.1 304 Not Modified\r\n{head}\r\n".encode()
    return f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def site(etags: dict[int, str], bodies: dict[int, str]) -> Behaviour:
    """Release 1, after 20 requests release 2; 304 to the own ETag."""

    async def serve(client: Client, number: int, head: str) -> None:
        release = 1 if number <= 20 else 2
        held = f"If-None-Match: {etags[release]}" in head
        client.send(answer(release, etags[release], bodies[release], held))

    return serve


async def load(behaviour: Behaviour) -> Ledger:
    async with serving(behaviour) as target:
        return await run_for(0.4, Conditional(name="load", target=target, rate=100, connections=1))


@pytest.mark.parametrize("etags", [{1: '"a"', 2: '"b"'}, {1: '"a"', 2: '"a"'}])
def test_an_honest_site_has_no_contradiction(etags: dict[int, str]) -> None:
    bodies = {1: "one", 2: "one" if etags[1] == etags[2] else "two"}
    ledger = asyncio.run(load(site(etags, bodies)))
    assert set(outcomes(ledger)) == {Outcome.OK}
    assert {record.status for record in ledger.records} == {200, 304}


def test_a_304_for_a_body_of_another_release_is_a_lie() -> None:
    """Both releases have the ETag of time and size, and different pages."""
    ledger = asyncio.run(load(site({1: '"a"', 2: '"a"'}, {1: "one", 2: "two"})))
    (first, *_) = lost = ledger.lost()
    assert {record.outcome for record in lost} == {Outcome.WRONG_BODY}
    assert {record.release for record in lost} == {"shop@2"}
    assert "/ of shop@2" in first.detail


def test_a_release_that_changes_its_page_is_found() -> None:
    async def changes(client: Client, number: int, head: str) -> None:
        client.send(answer(1, '"a"' if number <= 20 else '"b"', "one" if number <= 20 else "two", held=False))

    assert outcomes(asyncio.run(load(changes)))[Outcome.WRONG_BODY] in range(18, 23)


def test_a_304_that_nobody_asked_for_is_a_wrong_status() -> None:
    async def always(client: Client, number: int, head: str) -> None:
        client.send(answer(1, '"a"', "", held=True))

    assert set(outcomes(asyncio.run(load(always)))) == {Outcome.WRONG_STATUS}
