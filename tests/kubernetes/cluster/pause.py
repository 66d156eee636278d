"""The image that holds the namespaces of a pod: one static program, as an archive that containerd imports."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from noren.adapters.images.image import compose, nothing
from noren.adapters.images.layer import write_layer
from noren.adapters.images.layout import Layout
from tests.kubernetes.cluster.files import PAUSE
from tests.kubernetes.cluster.programs import HERE, build_small


def write(folder: Path) -> None:
    """``pause.tar`` in the folder of the cluster."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        tree = Path(work) / "tree"
        tree.mkdir()
        build_small("pause", HERE / "pause", tree)
        layout = Layout(Path(work) / "layout")
        compose(layout, nothing(), [write_layer(layout, tree)], {"Entrypoint": ["/pause"]}, name=PAUSE)
        with tarfile.open(folder / "pause.tar", "w") as tar:
            tar.add(layout.folder, arcname=".")
