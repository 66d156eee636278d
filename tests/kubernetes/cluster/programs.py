"""The programs of the cluster: what must be on the machine, and what is built from Go modules.

``__main__`` asks first what is missing, then builds. Kubernetes takes ten minutes or more the first time; the result
is kept in the user's cache and built anew only when its Go module or the version of Go changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
_FROM_DEBIAN = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "docker-registry": "docker-registry",
    "buildah": "buildah",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "openssl": "openssl",
}
_CNI = Path("/usr/lib/cni")
_GO = (1, 26)


def missing() -> str | None:
    """Why there can be no cluster on this machine, in one line; None when there can."""
    if os.geteuid() != 0:
        return "root is needed (network namespace, containers)"
    packages = {package for program, package in _FROM_DEBIAN.items() if not shutil.which(program)}
    if not (_CNI / "bridge").exists():
        packages.add("containernetworking-plugins")
    if packages:
        return f"these packages are needed: apt-get install {' '.join(sorted(packages))}"
    version = _go_version()
    if version is None or tuple(map(int, version.split(".")[:2])) < _GO:
        return f"Go {_GO[0]}.{_GO[1]} or newer is needed to build Kubernetes, found: {version or 'none'}"
    return None


def build() -> Path:
    """Build what is not built yet; the folder of Kubernetes' programs. One at a time on this machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noren-test-cluster"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cache / _fingerprint()
        if not folder.exists():
            _build_kubernetes(folder)
    return folder


def build_small(name: str, source: Path, folder: Path) -> Path:
    """Build a program of our own, static and reproducible; Go's cache makes it a second."""
    _go(source, ["-o", str(folder / name), "."], {"CGO_ENABLED": "0"})
    return folder / name


def _build_kubernetes(folder: Path) -> None:
    version = re.search(r"k8s\.io/kubernetes (v[\d.]+)", (HERE / "components" / "go.mod").read_text())
    assert version, "components/go.mod names no version of Kubernetes"
    print(f"building Kubernetes {version[1]}: ten minutes or more, this once", flush=True)
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in PROGRAMS]
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={version[1]}"
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        _go(HERE / "components", ["-ldflags", flags, "-o", f"{fresh}/bin/", *packages], {})
        (Path(fresh) / "bin").rename(folder)


def _go(source: Path, arguments: list[str], env: dict[str, str]) -> None:
    subprocess.run(
        ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", *arguments],
        cwd=source,
        env={**os.environ, "GOTOOLCHAIN": "local", **env},
        check=True,
    )


def _fingerprint() -> str:
    parts = [(HERE / "components" / name).read_bytes() for name in ("go.mod", "go.sum", "tools.go")]
    return hashlib.sha256(b"\0".join([*parts, str(_go_version()).encode()])).hexdigest()[:16]


def _go_version() -> str | None:
    """As ``1.26.8``."""
    if not shutil.which("go"):
        return None
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    text = subprocess.run(["go", "env", "GOVERSION"], env=env, capture_output=True, text=True, check=True).stdout
    found = re.match(r"go(\d+\.\d+(\.\d+)?)", text)
    return found[1] if found else None
