"""What is asked of HAProxy, as text: no HAProxy runs here."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.adapters.haproxy import saved
from noren.adapters.haproxy.counters import Counters, Slot, highest
from noren.adapters.haproxy.drain import is_of, parse_sessions
from noren.adapters.haproxy.glob import expression
from noren.adapters.haproxy.log import parse
from noren.adapters.haproxy.plan import plan
from noren.adapters.haproxy.stats import Rows
from noren.adapters.haproxy.table import Table, route
from noren.adapters.haproxy.view import SLOTS, ServerView, State, View
from noren.core.errors import TrafficError
from noren.core.model import Backend, Routing, Server
from noren.core.traffic import Counts, Traffic

ONE = Server(instance="i1", release=41, address="127.0.0.1:20001")
TWO = Server(instance="i2", release=42, address="127.0.0.1:20002")
OLD = Backend(app="a", release=41, rollout=1, servers=(ONE,))
NEW = Backend(app="a", release=42, rollout=2, servers=(TWO, replace(ONE, backup=True)))
FIRST = Routing(app="a", hosts=("a.example",), backends=(OLD,), active=OLD.name)
SECOND = replace(FIRST, backends=(OLD, NEW), active=NEW.name)
NOTHING = View({}, {})


def test_a_first_routing_adds_servers_then_labels_then_the_way_in() -> None:
    todo = plan(Table().put(FIRST).view(), NOTHING)
    assert todo.servers[0].startswith("add server s000-read/41-i1 127.0.0.1:20001 check ")
    assert todo.servers[1] == "set server s000-read/41-i1 state ready"
    assert todo.servers[2].endswith("on-error mark-down pool-max-conn 0")
    assert todo.maps == (
        "add map names.map s000 a@41",
        "add map headers.map a 1",
        "add map active.map a s000",
        "add map routes.map a.example/ a",
    )
    assert todo.gone == ()


def test_a_switch_sets_one_entry_and_watches_what_has_a_backup() -> None:
    table = Table().put(FIRST)
    todo = plan(table.put(SECOND).view(), table.view())
    assert [command for command in todo.servers if "s000" in command] == []
    assert "add server s001-read/41-i1.b 127.0.0.1:20001 backup" in todo.servers
    assert "enable health s001-read/42-i2" in todo.servers
    assert todo.maps == ("add map names.map s001 a@42", "set map active.map a s001")


def test_servers_stand_in_for_themselves_where_no_other_release_does() -> None:
    pair = replace(NEW, servers=(TWO, replace(TWO, instance="i3", address="127.0.0.1:20003")))
    names = set(Table().put(replace(SECOND, backends=(OLD, pair, replace(NEW, app="b")))).view().servers)
    own = {"s000-read/41-i1.b", "s001-read/42-i2.b", "s001-read/42-i3.b"}
    assert {name for name in names if name.endswith(".b") and "-read" in name} == {*own, "s002-read/41-i1.b"}
    assert Table().put(FIRST).view({"i1"}).servers["s000-read/41-i1.b"].state is State.DRAIN


def test_a_dropped_backend_goes_out_after_the_maps() -> None:
    table = Table().put(FIRST).put(SECOND)
    todo = plan(table.put(replace(SECOND, backends=(replace(NEW, servers=(TWO,)),))).view(), table.view())
    assert todo.maps == ("del map names.map s000",)
    gone = (*twins("0", "41-i1"), *twins("0", "41-i1.b"), *twins("1", "41-i1.b"))
    assert set(todo.gone) == {f"s00{name}" for name in gone}
    assert "disable health s001-read/42-i2" in todo.servers and "set server s001-read/42-i2 health up" in todo.servers


def test_an_app_that_is_gone_leaves_nothing() -> None:
    table = Table().put(FIRST)
    todo = plan(table.put(Routing(app="a", hosts=())).view(), table.view())
    assert todo.maps[0] == "del map routes.map a.example/" and todo.maps[-1] == "del map names.map s000"
    assert len(todo.maps) == 4 and len(todo.gone) == 4


def test_a_half_made_server_is_made_whole() -> None:
    view = Table().put(FIRST).view()
    found = replace(view, servers={name: ServerView(State.MAINTENANCE) for name in view.servers})
    assert plan(view, found).servers == tuple(f"set server {name} state ready" for name in view.servers)


def twins(slot: str, server: str) -> tuple[str, str]:
    return f"{slot}-read/{server}", f"{slot}-write/{server}"


def test_a_draining_instance_is_drained_wherever_it_sits_and_whatever_is_applied() -> None:
    table = Table().put(SECOND)
    todo = plan(table.view({"i1"}), table.view())
    assert {command for command in todo.servers if command.endswith("drain")} == {
        f"set server s00{name} state drain"
        for name in (*twins("0", "41-i1"), *twins("0", "41-i1.b"), *twins("1", "41-i1.b"))
    }
    assert "disable health s001-read/42-i2" in todo.servers


def test_a_share_is_written_with_its_slot_and_taken_away_before_it() -> None:
    canary = replace(SECOND, active=OLD.name, candidate=NEW.name, weight=0.25)
    table = Table().put(canary)
    maps = plan(table.view(), NOTHING).maps
    assert maps.index("add map candidate.map a s001") < maps.index("add map weight.map a 2500")
    todo = plan(table.put(SECOND).view(), table.view())
    assert todo.maps == ("set map active.map a s001", "del map weight.map a", "del map candidate.map a")


@given(st.lists(st.sampled_from([FIRST, SECOND, Routing(app="a", hosts=()), replace(FIRST, hosts=("b.example/x",))])))
def test_after_a_plan_nothing_is_left_to_do(routings: list[Routing]) -> None:
    table = Table()
    for routing in routings:
        table = table.put(routing)
        assert not plan(table.view(), table.view())
        assert saved.load(saved.dump(table)) == table


def test_freed_and_busy_slots_rest_and_a_full_pool_says_so() -> None:
    table = Table().put(FIRST).put(Routing(app="a", hosts=()))
    assert table.put(FIRST).slots == {OLD.name: 1}
    assert table.put(FIRST, {"s001"}).slots == {OLD.name: 2}
    many = tuple(replace(OLD, rollout=number, servers=()) for number in range(SLOTS + 1))
    with pytest.raises(TrafficError, match=f"all {SLOTS}"):
        Table().put(replace(FIRST, backends=many, active=None))


def test_a_routing_must_have_the_backend_it_names() -> None:
    with pytest.raises(TrafficError, match="does not have"):
        Table().put(replace(FIRST, active="a@9.9"))


@pytest.mark.parametrize(
    ("host", "key", "value"),
    [
        ("A.Example", "a.example/", "a"),
        ("a.example:8080", "a.example/", "a"),
        ("a.example/Api/", "a.example/Api/", "a|1|/Api"),
        ("a.example/x/y", "a.example/x/y/", "a|2|/x/y"),
    ],
)
def test_routes_are_whole_segments_below_a_lower_case_host(host: str, key: str, value: str) -> None:
    assert route(host, "a") == (key, value)


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("assets/*", "/assets/a.css", True),
        ("assets/*", "/assets/deep/a.css", False),
        ("assets/**", "/assets/deep/a.css", True),
        ("/*.js", "/app.js", True),
        ("*.js", "/appxjs", False),
        ("**/*.png", "/a.png", True),
        ("**/*.png", "/x/y/a.png", True),
        ("a b/é?", "/a%20b/%C3%A9x", True),
        ("a+(b)", "/a+(b)", True),
    ],
)
def test_globs_match_as_they_read(glob: str, path: str, matches: bool) -> None:
    assert (re.search(expression("s007", glob), f"s007{path}") is not None) is matches
    assert " " not in expression("s007", glob)


def reads(ok: int, failed: int = 0) -> Traffic:
    return Traffic(reads=Counts(ok, failed))


def test_numbers_survive_slots_that_change_hands_and_a_restart_of_the_daemon() -> None:
    counters = Counters("p", {"s000": Slot("a", 42, before=reads(100))})
    rows = Rows(reads(150, 3), {"42-i2": reads(100), "41-i1.b": reads(30)})
    assert counters.releases("a", {"s000": rows}) == {41: reads(30), 42: reads(20, 3)}
    counters.removed("s000", rows, {"41-i1.b"})
    rows = Rows(reads(160, 3), {"42-i2": reads(110)})
    assert counters.releases("a", {"s000": rows}) == {41: reads(30), 42: reads(30, 3)}
    counters.probed("a", 42, 503)
    counters.freed("s000", rows)
    counters = Counters.load(counters.dump())
    assert counters.releases("a", {}) == {41: reads(30), 42: reads(30, 2)}
    assert counters.releases("b", {}) == {}


def test_only_the_newest_hundred_releases_are_kept_in_the_books() -> None:
    counters, seen = Counters("p"), dict[int, Traffic]()
    for release in range(1, 151):
        counters.slots["s000"] = Slot("a", release)
        counters.probed("a", release, 200)
        counters.freed("s000", Rows(reads(5)))
        seen = highest(seen, counters.releases("a", {}))
    newest = set(range(51, 151))
    assert (set(counters.past["a"]), set(counters.probes["a"]), set(seen)) == (newest, newest, newest)


def test_numbers_never_go_back() -> None:
    assert highest({1: reads(5, 1)}, {1: reads(4, 2), 2: reads(1)}) == {1: reads(5, 2), 2: reads(1)}


def test_lines_of_the_log_are_read_and_strange_ones_left_out() -> None:
    app, sample = parse("a@42\tGET\t/x\t502\t31\t+2\tSH", 1.5) or ("", None)
    assert app == "a" and sample is not None
    assert (sample.release, sample.status, sample.ms, sample.retries, sample.complete) == (42, 502, 31.0, 2, False)
    assert parse("-\tGET\t/x\t404\t0\t0\tLR", 0) is None
    assert parse("nonsense", 0) is None


def test_sessions_of_other_servers_are_not_cut() -> None:
    text = (
        "0x1a: proto=tcpv4 src=1.2.3.4:5 fe=public be=s000-read srv=41-i1 ts=00\n"
        "0x2b: proto=tcpv4 src=1.2.3.4:6 fe=public be=s000-read srv=41-i10 ts=00\n"
        "0x3c: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00\n"
    )
    assert parse_sessions(text, {"s000-read/41-i1"}) == ["0x1a"]


def test_a_session_whose_id_became_another_ones_is_not_cut() -> None:
    text = (
        "0x1a: [23/Nov/2026:11:36:50.930363] id=0 proto=tcpv4 source=127.0.0.1:47522\n"
        "  backend=s000-read (id=3 mode=http) addr=127.0.0.1:57570\n"
        "  server=41-i1 (id=1) addr=127.0.0.1:29992\n"
    )
    assert is_of(text, {"s000-read/41-i1"})
    assert not is_of(text, {"s000-read/42-i1"})
    assert not is_of("Session not found.\n", {"s000-read/41-i1"})
