"""Path globs of ``cache_control`` as regular expressions that HAProxy matches.

Called by the table; exists because HAProxy has no globs. ``*`` and ``?`` stay within a segment, ``**`` crosses them.
"""

from __future__ import annotations

import re
from urllib.parse import quote

_WILD = re.compile(r"(\*\*/|\*\*|\*|\?)")
_REGEX = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def expression(slot: str, glob: str) -> str:
    """``("s007", "assets/*")`` becomes ``^s007/assets/[^/]*$``: one map holds the globs of every slot."""
    parts = _WILD.split(glob.lstrip("/"))
    return f"^{slot}/{''.join(_REGEX.get(part) or _literal(part) for part in parts)}$"


def _literal(text: str) -> str:
    # Paths arrive percent-encoded, and a map key ends at the first space.
    return re.sub(r"([.^$+{}()\[\]|\\])", r"\\\1", quote(text, safe="/:@!$&'()+,;=~.-_%[]"))
