"""Does the steps of an installation one by one, and says what each did. Again: no change.

Used by main.py for ``noren install``.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from noren.core.errors import HostError
from noren.install.steps import Command, File, Step

_LONGEST = 60.0
Run = Callable[[tuple[str, ...]], int]


def run(argv: tuple[str, ...]) -> int:
    """The exit code of a command whose output is not shown; raises HostError when it cannot be run."""
    try:
        return subprocess.run(argv, capture_output=True, timeout=_LONGEST, check=False).returncode
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise HostError(
            f"{argv[0]} cannot be run", seen=str(exc), hint="noren install --print, and do it by hand"
        ) from exc


def carry_out(steps: Sequence[Step], *, top: Path = Path("/"), run: Run = run) -> Iterator[str]:
    """Each step as a line when it is done; ``top`` stands for /. Raises HostError and stops there."""
    for step in steps:
        if isinstance(step, File):
            yield _written(step, top / step.path.relative_to("/"))
        elif step.unless and run(step.unless) == 0:
            yield f"there already: {shlex.join(step.argv)}"
        elif (code := run(step.argv)) != 0:
            hint = "journalctl -u noren tells more; the steps before it stay" if "systemctl" in step.argv else ""
            raise HostError(f"{shlex.join(step.argv)} failed", seen=f"exit code {code}", hint=hint)
        else:
            yield f"done: {shlex.join(step.argv)}"


def _written(file: File, path: Path) -> str:
    try:
        if path.exists() and (file.keep or path.read_text() == file.text):
            return f"there already: {file.path}"
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        beside.write_text(file.text)
        beside.replace(path)
    except OSError as exc:
        raise HostError(f"{file.path} cannot be written", seen=exc.strerror or str(exc)) from exc
    return f"written: {file.path}"


def shown(steps: Sequence[Step]) -> str:
    """The steps as text: commands as a shell would take them, files with their content."""
    return "\n".join(_shown(step) for step in steps)


def _shown(step: Step) -> str:
    if isinstance(step, Command):
        return (f"{shlex.join(step.unless)} || " if step.unless else "") + shlex.join(step.argv)
    kept = ", unless it is there" if step.keep else ""
    return f"# {step.path}{kept}:\n" + "".join(f"    {line}".rstrip() + "\n" for line in step.text.splitlines())
