"""Builds a Dockerfile without a daemon, into an OCI layout.

Used by ``builder``. The steps run with the rights of Noren's user, isolated by a change of root only: a Dockerfile is
trusted as much as a build command is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from noren.adapters.build_log import BuildLog, Mask, last_lines
from noren.adapters.build_process import run_build
from noren.adapters.cgroup import Cgroup
from noren.adapters.marked import MARK
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What it says when an image that it builds on cannot be had: the registry's fault, not the commit's.
_OUTSIDE = re.compile(r"initializing source|pinging container registry|dial tcp|i/o timeout|no space left")


@dataclass(frozen=True, slots=True)
class Buildah:
    """``storage`` holds the images that are built on; it is Buildah's own and can be removed when nothing builds."""

    storage: Path

    async def build(self, app: App, tree: Path, layout: Path, *, log: Path, group: Cgroup) -> None:
        """The Dockerfile of the app, with ``tree`` as its context, into ``layout``.

        Raises ReleaseError (a step fails, deadline) or OutsideError (no buildah, no base image to be had).
        """
        if not shutil.which("buildah"):
            hint = "install buildah, or let the build fill $NOREN_OUTPUT and set base_image"
            raise OutsideError("a Dockerfile needs buildah, which is not here", hint=hint)
        kubernetes = app.kubernetes
        assert kubernetes is not None
        dockerfile = tree / kubernetes.dockerfile
        # Not the folder's own name: names of images may not have "_" where names of folders may.
        name = f"localhost/noren/{hashlib.sha256(bytes(layout)).hexdigest()[:16]}"
        own = ["buildah", "--root", str(self.storage / "root"), "--runroot", str(self.storage / "run")]
        login = ["--authfile", kubernetes.registry_auth_file] if kubernetes.registry_auth_file else []
        steps = (
            [*own, "bud", "--isolation", "chroot", *login, "--file", str(dockerfile), "--tag", name, str(tree)],
            [*own, "push", "--quiet", name, f"oci:{layout}"],
            [*own, "rmi", name],
        )
        command = " && ".join(shlex.join(step) for step in steps)
        writer = BuildLog(log, Mask(value for _, value in app.secrets))
        try:
            code = await run_build(
                command, cwd=tree, env=self._environment(layout), group=group, log=writer, timeout=app.build.timeout
            )
        finally:
            writer.close()
        if code != 0:
            raise _failed(app, log, code)

    def _environment(self, layout: Path) -> dict[str, str]:
        folder = layout.parent
        return {
            "PATH": os.environ.get("PATH", _PATH),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            MARK: str(folder),
        }


def _failed(app: App, log: Path, code: int | None) -> ReleaseError:
    said = last_lines(log)
    why = f"exit code {code}" if code is not None else f"it took longer than {app.build.timeout:g} s"
    kind = OutsideError if code is not None and _OUTSIDE.search(said) else ReleaseError
    hint = "raise `build.timeout`" if code is None else f"all of the log: noren logs {app.name} --build"
    return kind(f"the image of {app.name} could not be built: {why}", seen=said, hint=hint)
