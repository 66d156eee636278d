"""Measure an app: requests a second through Noren beside the same uvicorn process asked directly.

``python -m bench.app [--rounds 5] [--seconds 5]`` prints one table. Both ways are loaded in turn, so that a busy
moment of the machine hits each alike. Needs wrk. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.proofs.ledger_app import HOST, LedgerApp, environment

from bench.table import Row, show

CONNECTIONS = 64
LEAST = {"GET": 0.75, "POST": None}  # the share of the direct rate that must come through
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_BAD = re.compile(r"(Socket errors|Non-2xx).*")
_ORDERS = """
local number = 0
function request()
  number = number + 1
  return wrk.format("POST", "/orders", nil, '{"id": "bench-' .. number .. '"}')
end
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.app", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    asked = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk must be installed")
    with TemporaryDirectory(prefix="noren-bench-") as folder, LedgerApp(Path(folder)) as shop:
        rows = [row for method in LEAST for row in _compared(shop, method, asked.rounds, asked.seconds)]
    show(f"Noren, an app on uvicorn with 1 instance, {CONNECTIONS} connections, {os.cpu_count()} cores", rows)
    raise SystemExit(1 if any(row.met is False for row in rows) else 0)


def _compared(shop: LedgerApp, method: str, rounds: int, seconds: float) -> list[Row]:
    ports = {"direct": _instance_port(shop), "noren": shop.noren.port}
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for turn in range(rounds + 1):
        for name, port in ports.items():
            rate = _load(shop, method, port, seconds if turn else 1)
            if turn:  # the first round warms up
                rates[name].append(rate)
    ratio = median(rates["noren"]) / median(rates["direct"])
    return [
        *(
            Row(f"{method}, {name}, median", median(values), "requests/s", rounds, note=_spread(values))
            for name, values in rates.items()
        ),
        Row(f"{method}, noren : direct", ratio, "", rounds, least=LEAST[method]),
    ]


def _spread(values: list[float]) -> str:
    return f"{min(values):,.0f} … {max(values):,.0f}"


def _instance_port(shop: LedgerApp) -> int:
    (pid,) = shop.processes()
    return int(environment(Path("/proc") / str(pid))["PORT"])


def _load(shop: LedgerApp, method: str, port: int, seconds: float) -> float:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-H", f"Host: {HOST}"]
    if method == "POST":
        script = shop.folder / "orders.lua"
        script.write_text(_ORDERS)
        command += ["-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/hello"], capture_output=True, text=True, check=True, timeout=seconds + 30
    )
    found = _RATE.search(done.stdout)
    if found is None or _BAD.search(done.stdout):
        raise RuntimeError(done.stdout)
    return float(found[1])


if __name__ == "__main__":
    main()
