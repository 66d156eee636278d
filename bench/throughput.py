"""Requests a second through Noren, beside nginx and Caddy that serve the same folder directly.

All run at once and are loaded in turn, several rounds, so that a busy moment of the machine hits each alike.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.daemon import free_port

from bench.site import HOST, Site, site
from bench.table import Row

_NGINX = """
user root;
worker_processes auto;
pid {folder}/nginx-{port}.pid;
daemon off;
events {{ worker_connections 4096; }}
http {{
  sendfile on; tcp_nopush on; access_log off; gzip off; etag on;
  {more}
  keepalive_timeout 65; keepalive_requests 1000000;
  types {{ text/html html; }}
  default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
_FILE_CACHE = "open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;"
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_BAD = re.compile(r"(Socket errors|Non-2xx).*")
_CONNECTIONS = 64
FILES = {"1 kB": "/", "100 kB": "/large.bin"}


def throughput(rounds: int, seconds: float) -> list[Row]:
    """Medians, and the ratio of medians to nginx."""
    missing = [name for name in ("wrk", "nginx") if not shutil.which(name)]
    if missing:
        raise SystemExit(f"{' and '.join(missing)} must be installed for this part")
    with ExitStack() as stack:
        made = stack.enter_context(site())
        ports = {"noren": made.noren.port}
        ports["nginx"] = stack.enter_context(_nginx(made))
        ports["nginx with file cache"] = stack.enter_context(_nginx(made, _FILE_CACHE))
        ports["caddy"] = stack.enter_context(_caddy(made))
        return [row for what, path in FILES.items() for row in _compared(what, path, ports, rounds, seconds)]


def _compared(what: str, path: str, ports: dict[str, int], rounds: int, seconds: float) -> list[Row]:
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for turn in range(rounds + 1):
        for name, port in ports.items():
            rate = _load(port, path, seconds if turn else 1)
            if turn:  # the first round warms up
                rates[name].append(rate)
    middle = {name: median(values) for name, values in rates.items()}
    rows = [
        Row(f"{what} file, {name}, median", middle[name], "requests/s", rounds, note=_spread(values))
        for name, values in rates.items()
    ]
    ratios = [
        Row(
            f"{what} file, noren : {name}",
            middle["noren"] / middle[name],
            "",
            rounds,
            least=0.8 if (what, name) == ("1 kB", "nginx") else None,
        )
        for name in rates
        if name != "noren"
    ]
    return rows + ratios


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):,.0f} … {max(values):,.0f}"


def _load(port: int, path: str, seconds: float) -> float:
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds:g}s", "-H", f"Host: {HOST}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True, timeout=seconds + 30
    )
    found = _RATE.search(done.stdout)
    if found is None or _BAD.search(done.stdout):
        raise RuntimeError(done.stdout)
    return float(found[1])


@contextmanager
def _nginx(made: Site, more: str = "") -> Generator[int]:
    port = free_port()
    settings = made.folder / f"nginx-{port}.conf"
    settings.write_text(_NGINX.format(folder=made.folder, port=port, root=made.repository.path, more=more))
    with _running(["nginx", "-c", str(settings), "-e", str(made.folder / "nginx.log")], port):
        yield port


@contextmanager
def _caddy(made: Site) -> Generator[int]:
    port, binary = free_port(), Path(sys.executable).with_name("caddy")
    command = [str(binary), "file-server", "--listen", f"127.0.0.1:{port}", "--root", str(made.repository.path)]
    with _running(command, port):
        yield port


@contextmanager
def _running(command: list[str], port: int) -> Generator[None]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            _until_listening(port)
            yield
        finally:
            process.terminate()


def _until_listening(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
