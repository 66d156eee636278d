"""What the proxy is told: who gets requests, who stands by, who drains."""

from __future__ import annotations

from dataclasses import replace

from noren.core.model import App, Kind, Release, Static
from noren.core.retire import RetirePhase, Retiring, Running
from noren.core.routing import route
from tests.core.parts import APP, ARTIFACT, instance, running


def release(number: int, app: App = APP) -> Release:
    return Release(app=app, number=number, revision="a" * 40, artifact=ARTIFACT)


RELEASES = {n: release(n) for n in range(1, 5)}
OLD, NEW = running(1, 2), running(2, 2, rollout=7)


def warm(of: Running, phase: RetirePhase = RetirePhase.WARM, faulty: bool = False) -> Retiring:
    return Retiring(running=of, phase=phase, until=9.0, faulty=faulty)


def test_without_a_release_the_hosts_are_known_and_nothing_is_active() -> None:
    routing = route(APP, {}, active=None)
    assert (routing.hosts, routing.active, routing.backends) == (("api.example",), None, ())


def test_the_active_release_gets_everything() -> None:
    routing = route(APP, RELEASES, active=OLD)
    assert (routing.active, routing.candidate, routing.weight) == ("api@1.1", None, 0.0)
    assert [s.instance for s in routing.backends[0].servers] == ["api-1-1-0", "api-1-1-1"]


def test_a_candidate_gets_its_share_beside_the_active_one() -> None:
    routing = route(APP, RELEASES, active=OLD, candidate=NEW, weight=0.5)
    assert (routing.active, routing.candidate, routing.weight) == ("api@1.1", "api@2.7", 0.5)


def test_a_candidate_with_all_traffic_is_active_and_the_old_one_backs_it_up() -> None:
    routing = route(APP, RELEASES, active=OLD, candidate=NEW, weight=1.0)
    assert (routing.active, routing.candidate) == ("api@2.7", None)
    assert [(s.release, s.backup) for s in routing.backends[0].servers] == [(2, False)] * 2 + [(1, True)] * 2
    assert [b.name for b in routing.backends] == ["api@2.7", "api@1.1"]


def test_going_back_keeps_the_candidates_backend_for_what_is_in_flight() -> None:
    routing = route(APP, RELEASES, active=OLD, candidate=NEW, weight=0.0)
    assert routing.active == "api@1.1"
    assert {b.name for b in routing.backends} == {"api@1.1", "api@2.7"}
    # A request that met the candidate as it died is tried again on the old release, from the candidate's backend.
    backups = {b.name: [s.release for s in b.servers if s.backup] for b in routing.backends}
    assert backups == {"api@1.1": [], "api@2.7": [1, 1]}


def test_the_newest_warm_release_backs_up_the_active_one_unless_it_is_faulty() -> None:
    retiring = [warm(running(1)), warm(running(2)), warm(running(3), faulty=True)]
    routing = route(APP, RELEASES, active=running(4), retiring=retiring)
    assert [s.release for s in routing.backends[0].servers if s.backup] == [2]


def test_what_drains_gets_no_new_requests_and_what_is_stopping_is_gone() -> None:
    retiring = [warm(running(1), RetirePhase.DRAINING), warm(running(2), RetirePhase.STOPPING)]
    routing = route(APP, RELEASES, active=running(3), retiring=retiring)
    assert [(b.release, [s.draining for s in b.servers]) for b in routing.backends] == [(3, [False]), (1, [True])]


def test_a_rolling_step_drains_some_servers_of_a_backend_whose_others_serve() -> None:
    gone = Running(release=1, rollout=1, instances=(instance(1, 2),))
    routing = route(APP, RELEASES, active=OLD, retiring=[warm(gone, RetirePhase.DRAINING)])
    (backend,) = routing.backends
    assert [(s.instance, s.draining) for s in backend.servers] == [
        ("api-1-1-0", False),
        ("api-1-1-1", False),
        ("api-1-1-2", True),
    ]


def test_an_instance_without_an_address_is_not_routed() -> None:
    pending = replace(OLD, instances=(instance(1), replace(instance(1, 1), address=None)))
    assert len(route(APP, RELEASES, active=pending).backends[0].servers) == 1


def test_a_static_release_is_a_site_with_its_cache_rules() -> None:
    rules = (("assets/*", "immutable"),)
    app = App(name="web", kind=Kind.STATIC, repo="/r", static=Static(cache_control=rules))
    (backend,) = route(app, {1: release(1, app)}, active=running(1)).backends
    assert (backend.site, backend.cache_control) == ("web-1", rules)
