"""Stops a process after each step that lasts or that others see, and kills it at the one that is asked for.

Used by the crash sweep. strace makes the kernel stop the process after every such system call, in whichever thread;
what it starts (HAProxy, Caddy, apps, git) is let go at its execve, so that the kill hits the daemon alone.

with Steps(pid, kill_at=7) as steps:
    client.deploy("shop")
    steps.wait(30)
print(steps.seen[-1])
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from contextlib import suppress
from types import TracebackType

# Files made to last, files given their names, the start and end of processes, words to HAProxy and Caddy.
CALLS = (
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir"),
    *("pidfd_open", "pidfd_send_signal", "sendto", "sendmsg"),
)
_CALL = re.compile(r"^(?:\[pid +\d+\] )?(?:<\.\.\. )?(\w+)(?:\((.*)| resumed)")
_WAKE = '"\\0", 1,'  # one thread wakes another: nobody else sees it
_ATTACH_SECONDS = 20.0


class Steps:
    """``seen`` are the steps so far, as strace shows them; ``kill_at`` None lets the process live."""

    def __init__(self, pid: int, kill_at: int | None = None) -> None:
        self.seen: list[str] = []
        self._pid = pid
        self._kill_at = kill_at
        self._attached = threading.Event()

    def __enter__(self) -> Steps:
        calls = ",".join(CALLS)
        argv = ["strace", "-f", "-b", "execve", "-e", f"trace={calls}", "-e", f"inject={calls}:signal=SIGSTOP"]
        self._strace = subprocess.Popen(
            [*argv, "-p", str(self._pid)], stderr=subprocess.PIPE, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._attached.wait(_ATTACH_SECONDS), "strace does not attach: is ptrace allowed here?"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Asked to end, it would wait for each thread to stop, for ever where the process is dying or stands still.
        self._strace.kill()
        self._strace.wait(20)
        self._reader.join(20)
        assert self._strace.stderr
        self._strace.stderr.close()
        if not self.killed:
            self._signal(signal.SIGCONT)

    @property
    def killed(self) -> bool:
        """Whether the process met the step that it was to be killed at."""
        return self._kill_at is not None and len(self.seen) >= self._kill_at

    def _read(self) -> None:
        """A stop is told twice: that the signal came, and that the threads stand still; then it goes on."""
        assert self._strace.stderr
        call = ""
        for line in self._strace.stderr:
            if "attached" in line:
                self._attached.set()
            elif "--- SIGSTOP" in line:
                if _WAKE not in call:
                    self.seen.append(call)
                if self.killed:
                    self._signal(signal.SIGKILL)
            elif "--- stopped by SIGSTOP" in line and not self.killed:
                self._signal(signal.SIGCONT)
            elif match := _CALL.match(line):
                call = f"{match[1]} {(match[2] or '')[:80]}".strip()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)
