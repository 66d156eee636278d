"""What a recogniser found out about a folder: how it is built, run and asked whether it is ready.

Made by ``sites`` and ``servers``, written down by ``text``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """One app. ``run`` None: a static site; ``tools``: programs that build and run need on this host.

    ``notes`` are sentences for the reader of the file; ``hints`` are settings that may be wanted, as lines of TOML.
    """

    what: str
    why: str
    build: str | None = None
    run: str | None = None
    ready: str | None = None
    tools: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
