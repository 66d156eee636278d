"""Two ledgers side by side show what either alone would hide; a report says it in words and as JSON."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from faulty import OK, Client, run_for, serving

from noren.core.errors import NorenError
from noren.prove.keepalive import Posts
from noren.prove.ledger import Ledger
from noren.prove.load import Stage
from noren.prove.orders import Order, exactly_once, read_orders
from noren.prove.outcome import Outcome, Problem
from noren.prove.proof import Proof
from noren.prove.request import Answer, Request
from noren.prove.summary import Percentiles

ANSWER = Answer(201, {"x-noren-release": "shop@1"}, b"", True)


def told(ledger: Ledger, id: str, result: Answer | Problem = ANSWER) -> None:
    now = time.monotonic()
    ledger.settle("posts", id, due=now, issued=now, result=result, once=True)


def test_missing_and_doubled_orders_are_found_and_counted_as_lost() -> None:
    ledger = Ledger(7)
    for id in ("once", "missing", "doubled"):
        told(ledger, id)
    told(ledger, "unanswered", Problem(Outcome.RESET, "closed"))
    told(ledger, "never", Problem(Outcome.REFUSED, "refused"))
    orders = [Order(id, "1") for id in ("once", "doubled", "doubled", "unanswered", "of another run", "of another run")]
    once = exactly_once(ledger, orders)
    assert (once.missing, once.doubled, once.unanswered) == (("missing",), ("doubled",), ("unanswered",))
    assert Proof.of(ledger, orders).lost == 4


def test_an_app_that_executes_twice_is_found_though_its_answers_look_right(tmp_path: Path) -> None:
    file = tmp_path / "ledger"

    async def executes_each_tenth_twice(client: Client, number: int, head: str) -> None:
        id = next(line[6:] for line in head.split("\r\n") if line.startswith("X-Id: "))
        with file.open("a") as ledger:
            ledger.write(f"{id} 1\n" * (2 if number % 10 == 0 else 1))
        client.send(OK)

    class WithId(Posts):
        def next_request(self, stage: Stage) -> Request:
            request = super().next_request(stage)
            request.headers["X-Id"] = request.id
            return request

    async def scenario() -> Ledger:
        async with serving(executes_each_tenth_twice) as target:
            return await run_for(0.3, WithId(name="posts", target=target, rate=100))

    ledger = asyncio.run(scenario())
    proof = Proof.of(ledger, read_orders(file))
    assert ledger.lost() == []
    assert proof.lost == len(ledger.records) // 10
    assert any(line.startswith("  doubled: ") for line in proof.lines())


def test_an_app_without_orders_has_an_empty_ledger_and_a_torn_one_is_refused(tmp_path: Path) -> None:
    assert read_orders(tmp_path / "none") == []
    torn = tmp_path / "torn"
    torn.write_text("a 1\nb\n")
    with pytest.raises(NorenError, match="cannot be read") as error:
        read_orders(torn)
    assert ":2: 'b'" in error.value.seen


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert Percentiles.of(number / 1000 for number in range(1, 101)) == Percentiles(100, 50.0, 99.0, 100.0)
    assert Percentiles.of([]) == Percentiles(0, 0.0, 0.0, 0.0)


def test_a_report_names_seed_loads_releases_and_losses_and_is_json() -> None:
    ledger = Ledger(7)
    told(ledger, "a")
    told(ledger, "b", Problem(Outcome.RESET, "closed by the server"))
    proof = Proof.of(ledger, [Order("a", "1")])
    text = "\n".join(proof.lines())
    assert "seed 7: 2 requests, 1 lost" in text
    assert "posts: 2 at" in text and "1 ok, 1 reset" in text
    assert "shop@1 1, - 1" in text
    assert "posts b reset" in text and "closed by the server" in text
    assert json.loads(json.dumps(asdict(proof)))["summary"]["loads"][0]["outcomes"] == {"ok": 1, "reset": 1}


def test_zero_lost_states_the_bound_that_it_proves() -> None:
    ledger = Ledger(7)
    for number in range(300):
        told(ledger, str(number))
    assert Proof.of(ledger).lines()[-1] == "0 lost in 300: less than 1 in 100 (95 %)"
