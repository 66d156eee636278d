"""The one error tree of Noren.

Adapters translate what the world throws into these with ``from``; the engine turns them
into events; the CLI prints ``what``, ``seen`` and ``hint`` and exits with ``exit_code``.

    NorenError            exit 1
    ├── SettingsError     exit 2: noren.toml or a file it names cannot be used
    ├── UsageError        exit 2: a command asked for something that does not exist
    ├── NotRunningError   exit 3: no daemon answers on the socket
    ├── HostError         this machine lacks something Noren needs
    ├── StateError        the ledger cannot be read or written
    ├── IllegalEventError the transition table has no such (phase, event)
    ├── TrafficError      the proxy refused or did not answer
    └── ReleaseError      a release could not be made or run by its own fault: quarantined
        └── OutsideError  by a fault outside the release (network, disk): retried, never quarantined
"""

from __future__ import annotations


class NorenError(Exception):
    """What happened, what was seen, what to try: every message has this one style.

    ``what`` is a sentence, ``seen`` the evidence (may hold several lines), ``hint`` one suggestion.
    """

    exit_code = 1

    def __init__(self, what: str, *, seen: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.seen = seen
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(
            part for part in (self.what, self.seen and f"seen: {self.seen}", self.hint and f"try: {self.hint}") if part
        )


class SettingsError(NorenError):
    """The settings file, or a file it names, cannot be used."""

    exit_code = 2


class UsageError(NorenError):
    """A command asked for an app, release or action that does not exist here."""

    exit_code = 2


class NotRunningError(NorenError):
    """No daemon answers on the socket."""

    exit_code = 3


class HostError(NorenError):
    """This machine lacks something Noren needs."""


class StateError(NorenError):
    """The ledger cannot be read or written; after a failed fsync what was written is unknown."""


class IllegalEventError(NorenError):
    """The transition table has no entry for this phase and event; nothing was changed."""


class TrafficError(NorenError):
    """The proxy refused a change or did not answer."""


class ReleaseError(NorenError):
    """A release could not be made, started or reached, by its own fault: it is quarantined."""


class OutsideError(ReleaseError):
    """As ReleaseError, but by a fault outside the release (fetch, network, disk): it is tried again."""
