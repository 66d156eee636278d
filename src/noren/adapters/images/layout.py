"""An OCI image layout: a folder with blobs by digest and an index that names one image.

Written here for images without a Dockerfile and by buildah for the others; the registry pushes either.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import IO, Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Json = dict[str, Any]


class Layout:
    """At ``folder``, which may be a layout already. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        """Where the blob of this digest is, if it is here."""
        return self._blobs / digest.removeprefix("sha256:")

    @contextlib.contextmanager
    def new_blob(self) -> Generator[IO[bytes]]:
        """A file to write a blob to; it is dropped unless it is kept."""
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            yield file

    def keep(self, file: IO[bytes], digest: str) -> None:
        """What was written to ``file`` is the blob of this digest."""
        file.flush()
        if not self.blob(digest).exists():
            os.link(file.name, self.blob(digest))

    def put(self, media_type: str, content: Mapping[str, Any] | bytes) -> Json:
        """Write a blob; its descriptor."""
        data = content if isinstance(content, bytes) else _encoded(content)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blob(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def finish(self, manifest: Json, *, name: str | None = None) -> str:
        """Name the one image by the descriptor of its manifest, for imports also by ``name``; its digest."""
        annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name} if name else {}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**manifest, "annotations": annotations}]}
        (self.folder / "index.json").write_bytes(_encoded(index))
        (self.folder / "oci-layout").write_bytes(_encoded({"imageLayoutVersion": "1.0.0"}))
        return manifest["digest"]

    def image(self) -> Json:
        """The descriptor of the manifest of its image."""
        return json.loads((self.folder / "index.json").read_bytes())["manifests"][0]


def _encoded(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
