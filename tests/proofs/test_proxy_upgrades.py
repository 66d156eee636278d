"""Another HAProxy binary takes over, again and again, under load: no request is lost and no WebSocket ends.

As an upgrade of the package does it: the file is another one, the daemon is restarted. Short: three. Full: 50.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

from noren.adapters.haproxy import find_binary
from noren.prove.proof import Proof
from noren.prove.sockets import WebSockets
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.listener import Listener
from tests.proofs.trio import pauses, pid_of, requests, trio


def upgraded(binary: Path) -> Path:
    """The same version in a file of its own; its libraries are found beside it."""
    binary.parent.mkdir(exist_ok=True)
    if not (binary.parent / "lib").exists():
        (binary.parent / "lib").symlink_to(find_binary().parent / "lib")
    fresh = binary.with_suffix(".new")
    shutil.copy2(find_binary(), fresh)
    return fresh.replace(binary)


@sized(("upgrades", "clients"), (3, 30), (50, 200), minutes=30, seconds=300)
def test_another_haproxy_binary_takes_over_and_nothing_is_lost(upgrades: int, clients: int, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}", flush=True)
    binary = upgraded(tmp_path / "bin/haproxy")
    with no_leftovers(tmp_path), trio(tmp_path, f'haproxy = "{binary}"\n') as shop:
        sockets = WebSockets(name="sockets", target=shop.target, clients=clients)
        before = Listener.of(shop.noren.port, shop.noren.state).inodes
        pids = [pid_of(shop, "haproxy")]
        with Background(*requests(shop), sockets, seed=seed) as traffic:
            for number in pauses(seed, upgrades, 0.5, 0.5):
                upgraded(binary)
                assert shop.noren.end(signal.SIGTERM) == 0
                shop.noren.up()
                pids.append(pid_of(shop, "haproxy"))
                if number % 10 == 2:
                    shop.noren.kept("shop", shop.commit())
            time.sleep(2.0)
            after = Listener.of(shop.noren.port, shop.noren.state).inodes
        proof = Proof.of(traffic.ledger, shop.orders())
    claim(
        f"{upgrades} upgrades of HAProxy",
        f"{proof.summary.requests} requests, {proof.lost} lost, {sum(sockets.closes.values())} of {clients} WebSockets"
        f" closed; {len(set(pids)) - 1} successors",
        seed=seed,
    )
    assert len(set(pids)) == upgrades + 1
    assert before == after
    assert proof.lost == 0, "\n".join(proof.lines())
    assert not sockets.closes
