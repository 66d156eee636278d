"""``examples/ledger`` as an app under a real daemon: its repository, its settings, its own ledger of orders.

The proofs of this folder start here. A release is a commit that changes ``VERSION`` and, to be a bad one, ``faults``
or other files.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from noren.prove.orders import Order, read_orders
from noren.prove.request import Target
from tests.daemon import Daemon, Repository

EXAMPLE = Path(__file__).parents[2] / "examples" / "ledger"
HOST = "shop.example"
BIN = Path(sys.executable).parent
COMMANDS = {
    "uvicorn": f"exec {BIN}/uvicorn app:app --host 127.0.0.1 --port $PORT --no-access-log --log-level warning",
    "gunicorn": f"exec {BIN}/gunicorn --worker-class gthread --threads 8 --no-control-socket --log-level warning"
    " --bind 127.0.0.1:$PORT wsgi:app",
    "node": "exec node server.js",
    "simple": f"exec {sys.executable} simple.py $PORT",
}
SERVERS = [name for name, command in COMMANDS.items() if shutil.which(command.split()[1])]


def app_settings(name: str, run: str, **more: str) -> str:
    """``[apps.name]``; ``more`` are lines ``key = value`` as TOML has them."""
    keys = {"repo": '"repo"', "run": f'"{run}"', "ready": '"/healthz"', "hosts": f'["{name}.example"]'} | more
    return f"[apps.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def settings(*apps: str) -> str:
    """A whole ``noren.toml``."""
    return "\n".join(['[server]\nlisten = ["127.0.0.1:{port}"]\n', *apps])


class LedgerApp:
    """The repository, and the daemon that upgrades the app ``shop`` from it; a context manager.

    ``run`` is the command, ``more`` the settings other than the defaults. ``kept`` waits for verdicts.
    """

    def __init__(self, folder: Path, server: str = "uvicorn", *, command: str | None = None, **more: str) -> None:
        self.folder = folder
        self.server = server
        self.more = {"triggers": '{ poll = "500ms" }'} | more
        self.repository = Repository(folder / "repo")
        toml = settings(app_settings("shop", command or COMMANDS[server], **self.more))
        self.noren = Daemon(folder, toml)
        self.target = Target(port=self.noren.port, host=HOST, app="shop")
        self.rollouts = 0
        self._version = 0

    def __enter__(self) -> LedgerApp:
        shutil.copytree(EXAMPLE, self.repository.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        self.commit()
        self.noren.__enter__()
        self.noren.until(lambda: self.noren.status("shop")["phase"] == "baking", "the first release is switched to")
        self.noren.client.promote("shop")
        assert self.verdict()["outcome"] == "kept"
        return self

    def __exit__(self, *raised: Any) -> None:
        self.noren.__exit__(*raised)

    def commit(self, **files: str | None) -> str:
        """A new revision; ``faults="FAIL_RATE=1"`` writes that file, None removes one."""
        self._version += 1
        return self.repository.commit({"VERSION": str(self._version), **files})

    def upgrade(self, **files: str | None) -> dict[str, Any]:
        """Commit, and wait for the verdict: the receipt."""
        self.commit(**files)
        return self.verdict()

    def verdict(self) -> dict[str, Any]:
        """Wait for the verdict of the next rollout; its receipt."""
        self.rollouts += 1
        last = [line for line in self.noren.client.verdict("shop", self.rollouts) if "outcome" in line]
        assert last, f"the daemon ended before the verdict of rollout {self.rollouts}:\n{self.noren.tail()}"
        return self.noren.client.receipt("shop", self.rollouts)

    def orders(self) -> list[Order]:
        """What all releases executed."""
        return read_orders(self.noren.state / "data" / "shop" / "ledger")

    def settled(self, most: int = 1) -> None:
        """Wait until only ``most`` releases have processes: what is retired has gone."""
        self.noren.until(lambda: len(self.running()) <= most, f"{most} releases are left running")

    def running(self) -> Counter[int]:
        """Processes by release, told by their environment."""
        return Counter(self.processes().values())

    def processes(self) -> dict[int, int]:
        """Release by pid."""
        told = {int(proc.name): environment(proc) for proc in Path("/proc").glob("[0-9]*")}
        mine = str(self.noren.state)
        return {
            pid: int(env["NOREN_RELEASE"]) for pid, env in told.items() if env.get("NOREN_DATA", "").startswith(mine)
        }

    def described(self) -> str:
        """The effective settings that are not the defaults."""
        return f"{self.server}, " + ", ".join(f"{key} = {value}" for key, value in self.more.items())


def environment(proc: Path) -> dict[str, str]:
    """Of a process that may be gone: empty then."""
    try:
        pairs = (proc / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
