"""A thousand Deployments of one namespace: adopted within a minute, each change noticed within a second."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from tests.daemon import Daemon
from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.upgraded import pushed
from tests.kubernetes.workload import Namespace, deployment, namespace
from tests.proofs.claim import claim, sized

SETTINGS = """
[server]
listen = ["127.0.0.1:{{port}}"]
[defaults]
kind = "kubernetes"
image = "{registry}/fleet:latest"
triggers.poll = "off"
ready = "/healthz"
kubernetes = {{ namespace = "fleet", repair = true }}
"""
APP = """
[apps.site-{number}]
kubernetes.deployment = "site-{number}"
"""


def _memory(noren: Daemon) -> float:
    """Of the daemon, in MB."""
    assert noren.process is not None
    return psutil.Process(noren.process.pid).memory_info().rss / 1e6


def _adopted(noren: Daemon) -> int:
    return sum(app["active"] is not None for app in noren.client.status()["apps"])


def _noticed(here: Namespace, noren: Daemon, app: str) -> float:
    """Seconds from a change by somebody else to the line that tells it."""
    here.kubectl("set", "image", f"deployment/{app}", f"{app}={REGISTRY}/fleet:other")
    began = time.monotonic()
    noren.until(lambda: any("was changed by" in e["text"] for e in noren.client.events(app, 0)), "noticed", pause=0.02)
    return time.monotonic() - began


@sized("number", 50, 1000, seconds=120)
def test_many_deployments_are_adopted_and_watched_together(cluster: Path, tmp_path: Path, number: int) -> None:
    pushed("fleet", version="1")
    with namespace("fleet") as here:
        names = [f"site-{each}" for each in range(number)]
        here.apply(*(deployment(name, "fleet:latest", spec={"replicas": 0}) for name in names))
        text = SETTINGS.format(registry=REGISTRY) + "".join(APP.format(number=each) for each in range(number))
        noren = Daemon(tmp_path, text)
        began = time.monotonic()
        try:
            noren.up(timeout=120)
            noren.until(lambda: _adopted(noren) == number, "all are adopted", 120, pause=0.5)
            seconds = time.monotonic() - began
            noticed = [_noticed(here, noren, names[each]) for each in (0, number // 2, number - 1)]
            memory = _memory(noren)
        finally:
            noren.__exit__(None, None, None)
    figures = f"{seconds:.1f} s to the last, a change noticed after {max(noticed):.2f} s, {memory:.0f} MB"
    claim(f"{number:,} Deployments adopted in one namespace", figures)
    assert seconds <= 60
    assert max(noticed) <= 1
    assert memory <= 300
