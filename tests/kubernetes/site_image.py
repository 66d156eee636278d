"""Images of the web app of these tests (``site/main.go``), pushed to the registry of the cluster, each in a moment.

The program is one layer that all versions share; what a version is and how it misbehaves is the layer on top.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from noren.adapters.images.image import compose, nothing
from noren.adapters.images.layer import write_layer
from noren.adapters.images.layout import Layout
from noren.adapters.images.reference import Reference
from noren.adapters.images.registry import Registry
from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.cluster.programs import build_small

_SOURCE = Path(__file__).parent / "site"


async def push(name: str, tag: str, *, command: str = "/site", **behaviour: object) -> str:
    """Build and push ``name:tag``; its digest. The behaviour is what ``site/main.go`` reads: version, start, …"""
    with tempfile.TemporaryDirectory() as work:
        program, told = Path(work) / "program", Path(work) / "told"
        program.mkdir()
        told.mkdir()
        build_small("site", _SOURCE, program)
        (told / "behaviour.json").write_text(json.dumps({key: str(value) for key, value in behaviour.items()}))
        layout = Layout(Path(work) / "layout")
        layers = [write_layer(layout, program), write_layer(layout, told)]
        compose(layout, nothing(), layers, {"Entrypoint": [command], "ExposedPorts": {"8080/tcp": {}}})
        registry = Registry()
        try:
            return await registry.push(layout, Reference.parse(f"{REGISTRY}/{name}:{tag}"))
        finally:
            await registry.close()
