"""The parts of the cluster as command lines, in the order of their start. Data only: ``inside`` runs them."""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.cluster.files import NODE

NAME = "node1"
Command = list[str]


def store(folder: Path) -> dict[str, Command]:
    """What needs nothing else."""
    return {
        "etcd": ["etcd", f"--data-dir={folder}/etcd", "--log-level=warn", "--unsafe-no-fsync"],
        "containerd": ["containerd", f"--config={folder}/containerd.toml"],
        "registry": ["docker-registry", "serve", f"{folder}/registry.yaml"],
    }


def api(folder: Path) -> Command:
    """The API server: needs etcd."""
    return [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        f"--advertise-address={NODE}",
        f"--cert-dir={folder}/pki",
        "--allow-privileged",
        "--authorization-mode=Node,RBAC",
        f"--token-auth-file={folder}/tokens.csv",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/pki/service-accounts.key",
        f"--service-account-signing-key-file={folder}/pki/service-accounts.key",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def others(folder: Path) -> dict[str, Command]:
    """What needs the API server."""
    config = f"--kubeconfig={folder}/kubeconfig"
    return {
        "controller-manager": [
            "kube-controller-manager",
            config,
            "--leader-elect=false",
            "--allocate-node-cidrs",
            "--cluster-cidr=10.244.0.0/16",
            f"--service-account-private-key-file={folder}/pki/service-accounts.key",
            f"--root-ca-file={folder}/pki/apiserver.crt",
        ],
        "scheduler": ["kube-scheduler", config, "--leader-elect=false"],
        "kubelet": [
            "kubelet",
            config,
            f"--config={folder}/kubelet.yaml",
            f"--root-dir={folder}/kubelet",
            f"--cert-dir={folder}/pki/kubelet",
            f"--hostname-override={NAME}",
            f"--node-ip={NODE}",
        ],
        "proxy": [
            "kube-proxy",
            config,
            f"--hostname-override={NAME}",
            "--proxy-mode=iptables",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ],
    }
