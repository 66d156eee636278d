"""Power is lost at any moment: every commit that was acknowledged is there, the history unbroken.

The real ledger commits under strace; its calls tell what the disk holds at each moment (``disk.py``), and the ledger
opens that.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest

from noren.adapters.haproxy.folder import Folder
from noren.adapters.kubernetes.saved import Manifests
from noren.adapters.ledger import SqliteLedger
from tests.adapters.test_ledger import within
from tests.proofs.claim import claim, sized
from tests.recovery.disk import Disk, traced

pytestmark = pytest.mark.skipif(
    not shutil.which("strace"), reason="strace is missing: install it with your package manager"
)

WRITER = """
import asyncio, os, sys
from pathlib import Path
from noren.adapters import database
from noren.adapters.ledger import SqliteLedger
from noren.core.record import AppRecord, Note, ReceiptRecord
{harm}
async def main():
    for life in range(2):
        ledger = SqliteLedger(Path(sys.argv[1]))
        for n in range(1 + life * {commits}, 1 + (life + 1) * {commits}):
            records = [AppRecord(name="api", rollouts=n), ReceiptRecord(rollout=n, body="x" * 3000)]
            await ledger.commit("api", records, notes=[Note(at="T", text=str(n), kind="k")])
            os.write(1, b"%d\\n" % n)
        ledger.close()
asyncio.run(main())
"""
TUNED = """
tune = database._tune
def _tune(db):
    tune(db)
    db.execute("PRAGMA synchronous={mode}")
database._tune = _tune
"""
UNSYNCED = "os.fsync = lambda descriptor: None"
FILES = """
import os, sys
from pathlib import Path
from noren.adapters.haproxy.folder import Folder
from noren.adapters.kubernetes.saved import Manifest, Manifests
from noren.core.model import Kubernetes
state = Path(sys.argv[1])
folder, manifests, settings = Folder(state / "haproxy"), Manifests(state), Kubernetes(deployment="api")
for n in range(1, 11):
    folder.keep("table.json", str(n))
    manifests.write("api-1", Manifest(app="api", settings=settings, release=n, rollout=n, container="api"))
    os.write(1, b"%d\\n" % n)
"""


def acknowledged(state: Path, said: int) -> str:
    """What is wrong with a state after so many acknowledged commits; "" for nothing. One more may be there."""

    async def look(ledger: SqliteLedger) -> str:
        lines = [int(line["text"]) for line in await ledger.notes("api", 0, 100_000)]
        if lines not in ([*range(1, said + 1)], [*range(1, said + 2)]):
            return f"{said} commits were acknowledged, {len(lines)} are there"
        receipts = [await ledger.receipt("api", n) for n in (1, len(lines), len(lines) + 1)]
        if lines and (None in receipts[:2] or receipts[2] is not None):
            return f"{said} commits were acknowledged, and a receipt is missing"
        record = [r.rollouts for r in await ledger.load("api")]
        if record != lines[-1:]:
            return f"the record is that of {record}, the history ends with {lines[-1:]}"
        if await ledger.verify() is not None:
            return "the chain is broken"
        return "; ".join(ledger.told)

    return within(state, look)


def power_losses(folder: Path, commits: int, every: int, harm: str = "") -> tuple[int, list[str]]:
    """How many images were opened, and what was wrong with them: at each acknowledgement, and at calls between."""
    disk, chance, images, wrong, said = Disk(folder / "disk"), random.Random(1), 0, [], 0
    traced([sys.executable, "-c", WRITER.format(harm=harm, commits=commits), str(disk.top / "state")], folder / "log")
    for _ in disk.follow(folder / "log"):
        acked, said = len(disk.said) > said, len(disk.said)
        for some in [None, chance] if acked else [chance] if chance.random() < 1 / every else []:
            wrong += filter(None, [acknowledged(disk.image(folder / "image", some) / "state", said)])
            images += 1
    assert said == 2 * commits
    return images, wrong


@sized(("commits", "every"), (12, 40), (250, 6))
def test_no_acknowledged_commit_is_lost_with_the_power(tmp_path: Path, commits: int, every: int) -> None:
    images, wrong = power_losses(tmp_path, commits, every)
    claim("power loss", f"{images} images of the disk at {2 * commits} commits, {len(wrong)} with a loss")
    assert not wrong, wrong


@pytest.mark.parametrize("harm", [TUNED.format(mode="OFF"), TUNED.format(mode="NORMAL"), UNSYNCED])
def test_a_ledger_that_does_not_sync_is_found_out(tmp_path: Path, harm: str) -> None:
    images, wrong = power_losses(tmp_path, 3, 30, harm)
    assert len(wrong) > images / 4, (images, wrong)


def test_files_beside_the_ledger_are_there_whole_once_they_were_written(tmp_path: Path) -> None:
    disk, chance = Disk(tmp_path / "disk"), random.Random(1)
    traced([sys.executable, "-c", FILES, str(disk.top / "state")], tmp_path / "log")
    for _ in disk.follow(tmp_path / "log"):
        for some in (None, chance):
            state, said = disk.image(tmp_path / "image", some) / "state", len(disk.said)
            folder, manifest = Folder(state / "haproxy"), Manifests(state).read("api-1")
            found = {folder.kept("table.json"), manifest and str(manifest.release)}
            folder.close()
            assert found <= ({str(said), str(said + 1)} if said else {None, "1"}), (said, found)
    assert len(disk.said) == 10
