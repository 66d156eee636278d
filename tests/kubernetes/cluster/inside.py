"""The first process of the cluster's namespaces: sets up network and mounts, starts the parts, runs the command.

``__main__`` starts it below ``unshare``. When it ends, by itself or by a kill -9, the kernel ends every process of the
namespace, shims and pods included, and unmounts all that was mounted here: nothing has to be looked for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.kubernetes.cluster import parts
from tests.kubernetes.cluster.files import NODE
from tests.kubernetes.cluster.parts import Command

_NETWORK = f"""
ip link set lo up
ip link add name node type bridge
ip address add {NODE}/24 dev node
ip link set node up
ip route add default dev node
"""
# What the parts keep in places of their own goes into the folder of the cluster, or with the namespace.
_MOUNTS = """
mount -t tmpfs run /run
mount --bind {folder}/var-lib /var/lib
mount --bind {folder}/var-log /var/log
"""
_SYSCTL = {"ip_forward": "1", "conf/all/route_localnet": "1"}


def main(folder: Path, command: list[str]) -> int:
    """Start all of it, then the command; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the command as well, which ends us by ending
    os.environ |= {"KUBECONFIG": f"{folder}/kubeconfig", "NOREN_TEST_CLUSTER": str(folder)}
    begin = time.monotonic()
    _prepare(folder)
    _start_parts(folder)
    print(f"ready after {time.monotonic() - begin:.1f} s: {folder}/enter kubectl get pods -A", flush=True)
    running = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return _reap_until(running.pid)


def _prepare(folder: Path) -> None:
    for line in filter(None, (_NETWORK + _MOUNTS.format(folder=folder)).splitlines()):
        subprocess.run(line.split(), check=True)
    for name, value in _SYSCTL.items():
        Path(f"/proc/sys/net/ipv4/{name}").write_text(value)


def _start_parts(folder: Path) -> None:
    for name, command in parts.store(folder).items():
        _start(folder, name, command)
    _import_pause(folder)
    _start(folder, "apiserver", parts.api(folder))
    _until(["kubectl", "get", "--raw", "/readyz"], folder, "apiserver")
    for name, command in parts.others(folder).items():
        _start(folder, name, command)
    for what in (f"node/{parts.NAME}", "serviceaccount/default"):
        _until(["kubectl", "wait", "--for=create", what, "--timeout=120s"], folder, "controller-manager")
    _until(["kubectl", "wait", "--for=condition=Ready", f"node/{parts.NAME}", "--timeout=120s"], folder, "kubelet")


def _import_pause(folder: Path) -> None:
    client = ["ctr", f"--address={folder}/containerd.sock", "--namespace=k8s.io"]
    _until([*client, "version"], folder, "containerd")
    _until([*client, "images", "import", f"{folder}/pause.tar"], folder, "containerd")


def _start(folder: Path, name: str, command: Command) -> None:
    with (folder / "logs" / f"{name}.log").open("wb") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _until(command: Command, folder: Path, part: str) -> None:
    """Ask again until it succeeds, two minutes at most."""
    deadline = time.monotonic() + 120
    while True:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=130)
        if asked.returncode == 0:
            return
        if time.monotonic() > deadline:
            tail = (folder / "logs" / f"{part}.log").read_text(errors="replace")[-3000:]
            sys.exit(f"{' '.join(command)}: {asked.stderr}\n{part} said:\n{tail}")
        time.sleep(0.2)


def _reap_until(pid: int) -> int:
    """The first process of a namespace is given every orphan; the exit code of ``pid``."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
