"""Every file that the parts of the cluster read, below one folder. Written once, before anything starts."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path

API = "https://10.250.0.1:6443"  # what the certificate that the API server makes for itself is for
NODE = "10.250.0.1"
PODS = "10.244.0.0"
REGISTRY = "127.0.0.1:5000"
PAUSE = "noren.test/pause:1"


def write(folder: Path, programs: Path) -> None:
    """All of them; ``programs`` holds kubectl and the others."""
    for name in ("pki", "cni", "logs", "registry", "etcd", "kubelet", "containerd", "var-lib", "var-log", "orders"):
        (folder / name).mkdir()
    (folder / "orders").chmod(0o777)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    (folder / "kubeconfig").write_text(kubeconfig(API, token, folder / "pki" / "apiserver.crt"))
    key = folder / "pki" / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (folder / "kubelet.yaml").write_text(json.dumps(_kubelet(folder)))
    (folder / "containerd.toml").write_text(_containerd(folder))
    (folder / "cni" / "10-bridge.conflist").write_text(json.dumps(_pod_network(folder)))
    (folder / "registry.yaml").write_text(json.dumps(_registry(folder)))
    (folder / "enter").write_text(_ENTER.format(folder=folder, programs=programs))
    (folder / "enter").chmod(0o755)


def kubeconfig(server: str, token: str, authority: Path) -> str:
    """For clients of ``server``, as JSON, which is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(authority)}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "default"}}],
        }
    )


def _kubelet(folder: Path) -> dict[str, object]:
    """No quality-of-service cgroups: the machine may let us write below its own cgroups only. No image is collected."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup(folder),
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": f"{folder}/logs/pods",
        "registerWithTaints": [],
        "serializeImagePulls": False,
        "resolvConf": "",
        "clusterDNS": ["10.96.0.10"],  # there is no DNS; without an address each pod gets a warning
        "maxPods": 250,
    }


def cgroup(folder: Path) -> str:
    """The cgroup of all pods, so that what is left of it can be removed."""
    return f"/{folder.name}"


def _containerd(folder: Path) -> str:
    return f"""
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _pod_network(folder: Path) -> dict[str, object]:
    ranges = [[{"subnet": f"{PODS}/24"}]]
    ipam = {"type": "host-local", "ranges": ranges, "dataDir": f"{folder}/addresses", "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}


def _registry(folder: Path) -> dict[str, object]:
    return {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": f"{folder}/registry"}, "delete": {"enabled": True}},
        "http": {"addr": REGISTRY},
    }


_ENTER = """#!/bin/sh
# Runs a command in the network of the cluster.
export KUBECONFIG={folder}/kubeconfig NOREN_TEST_CLUSTER={folder} PATH={programs}:$PATH
exec nsenter --net=/proc/$(cat {folder}/pid)/ns/net "$@"
"""
