"""What each release is in its cluster, kept as a file until it is retired: the same objects every time.

Written by the runner at the start of a release, read by ``traffic``: also after ``kill -9``, so that going on and
going back apply exactly what was decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from noren.adapters.durable import made, written
from noren.adapters.kubernetes.fields import Json
from noren.core.errors import OutsideError
from noren.core.model import Kubernetes


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``objects`` are (path, object) for server-side apply; ``template`` is put back whole, as it was found.

    ``applied``: the cluster has shown it, so what is there instead now is somebody's wish.
    """

    app: str
    settings: Kubernetes
    release: int
    rollout: int
    container: str
    objects: list[tuple[str, Json]] = field(default_factory=list[tuple[str, Json]])
    template: Json | None = None
    applied: bool = False


class Manifests:
    """Files by the id of the instance."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "kubernetes"

    def write(self, instance: str, manifest: Manifest) -> None:
        """Durable on return; raises OutsideError. Again: replaced."""
        path = self._path(instance)
        try:
            made(self._folder)
            written(path, msgspec.json.encode(manifest))
        except OSError as exc:
            raise OutsideError(f"{path} could not be written", seen=str(exc), hint="check the disk") from exc

    def read(self, instance: str) -> Manifest | None:
        """None when there is none, or it cannot be read."""
        try:
            return msgspec.json.decode(self._path(instance).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError):
            return None

    def remove(self, instance: str) -> None:
        """Again: no change."""
        self._path(instance).unlink(missing_ok=True)

    def _path(self, instance: str) -> Path:
        return self._folder / f"{instance}.json"
