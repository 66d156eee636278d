"""What an image is made of: a base, layers on top, and how it starts.

``builder`` composes with it; ``layout`` keeps the result, ``registry`` brings bases and takes images.
"""

from __future__ import annotations

import copy
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noren.adapters.images.layer import Layer
from noren.adapters.images.layout import CONFIG, LAYER, MANIFEST, Json, Layout

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TIME = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Base:
    """An image to put layers on: its manifest and its config as its registry has them."""

    manifest: Json
    config: Json


def architecture() -> str:
    """Of this machine, in the words of images."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def nothing() -> Base:
    """The base of an image from scratch."""
    files: Json = {"type": "layers", "diff_ids": []}
    return Base({"layers": []}, {"architecture": architecture(), "os": "linux", "config": {}, "rootfs": files})


def compose(
    layout: Layout,
    base: Base,
    layers: Sequence[Layer],
    start: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
) -> str:
    """Write config and manifest of ``base`` with ``layers`` on top; the digest of the image.

    ``start`` changes how it starts (``Entrypoint``, ``Env``, …). Times are fixed: same parts, same digest.
    """
    config = copy.deepcopy(base.config)
    config["config"] = {**(config.get("config") or {}), **(start or {})}
    config["rootfs"]["diff_ids"] += [layer.diff_id for layer in layers]
    config["history"] = [*config.get("history", []), *({"created": _TIME, "created_by": "noren"} for _ in layers)]
    config["created"] = _TIME
    on_top = [{"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.put(CONFIG, config),
        "layers": [*map(_as_oci, base.manifest["layers"]), *on_top],
    }
    return layout.finish(layout.put(MANIFEST, manifest), name=name)


def _as_oci(layer: Json) -> Json:
    """A base may come in docker's older words for the same thing; one manifest speaks one language."""
    kind = LAYER if layer["mediaType"].endswith("gzip") else layer["mediaType"]
    return {"mediaType": kind, "digest": layer["digest"], "size": layer["size"]}
