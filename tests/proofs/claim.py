"""How proofs speak: one line for each claim, and each proof in two sizes.

The short size is part of the ordinary suite, the full one is marked ``slow``: ``pytest -s -m slow tests/proofs``.
"""

from __future__ import annotations

from typing import Any

import pytest


def sized(
    names: str | tuple[str, ...], short: Any, full: Any, *, seconds: float | None = None, minutes: float = 30
) -> pytest.MarkDecorator:
    """Parametrize a proof with its short and its full size; ``seconds`` bounds the short one, ``minutes`` the full one.

    A mark on the function would bound both.
    """
    marks = (pytest.mark.slow, pytest.mark.timeout(minutes * 60))
    values = (short, full) if isinstance(names, tuple) else ((short,), (full,))
    bound = () if seconds is None else (pytest.mark.timeout(seconds),)
    sizes = [pytest.param(*values[0], id="short", marks=bound), pytest.param(*values[1], id="full", marks=marks)]
    return pytest.mark.parametrize(names, sizes)


def claim(what: str, figures: str, *, settings: str = "", seed: int | None = None) -> None:
    """Print a claim with what was measured for it."""
    given = f" [seed {seed}]" if seed is not None else ""
    print(f"CLAIM {what}: {figures}{given}" + (f" ({settings})" if settings else ""), flush=True)
