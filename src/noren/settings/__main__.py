"""``python -m noren.settings FILE``: the settings, or what is wrong with them, as JSON on standard output.

``reader`` runs this for the daemon, which so never carries the validation library.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from noren.core.errors import SettingsError
from noren.settings.file import load


def main() -> int:
    """Exit code 0 with Settings, 2 with a SettingsError."""
    try:
        answer: object = load(Path(sys.argv[1]))
        code = 0
    except SettingsError as exc:
        answer = {"what": exc.what, "seen": exc.seen, "hint": exc.hint}
        code = exc.exit_code
    sys.stdout.buffer.write(msgspec.json.encode(answer, enc_hook=str))
    return code


if __name__ == "__main__":
    sys.exit(main())
