"""What a host is told of: each finding that is not fine says what was seen and what to try."""

from __future__ import annotations

import pytest

from noren.core import diagnosis as d
from noren.core.diagnosis import Finding, Level
from noren.core.errors import HostError

FINE = (
    d.program("git", "2.39.5"),
    d.open_files(65_536, 2_500, 40_500),
    d.instance_ports(20000, 28999, (32768, 60999), []),
    d.instance_ports(20000, 28999, (32768, 60999), [20001]),
    d.free_space(90_000_000_000, 512_000_000, "/var/lib/noren"),
    d.clock(True),
    d.clock(None),
    d.backlog(4096),
    d.migration(False),
    d.migration(True),
    d.listener("[::]:80", "", ours=False),
    d.listener("[::]:80", "Address already in use", ours=True),
    d.groups(True),
    d.state("/var/lib/noren", ""),
)
RISKS = (
    (d.open_files(20_000, 2_500, 40_500), "LimitNOFILE"),
    (d.instance_ports(30000, 40000, (32768, 60999), []), "[server] ports"),
    (d.free_space(900_000_000, 512_000_000, "/"), "free space"),
    (d.clock(False), "time service"),
    (d.backlog(128), "net.core.somaxconn"),
    (d.groups(False), "Delegate=yes"),
)
BAD = (
    (d.program("git", HostError("git is too old", seen="2.10", hint="install git 2.32")), "install git"),
    (d.open_files(1024, 2_500, 40_500), "LimitNOFILE"),
    (d.free_space(100_000_000, 512_000_000, "/"), "free space"),
    (d.listener("[::]:80", "Permission denied", ours=False), "noren install"),
    (d.listener("[::]:80", "Address already in use", ours=False), "ss -ltnp"),
    (d.state("/root/x", "cannot be written"), "[server] state"),
)


@pytest.mark.parametrize("finding", FINE, ids=str)
def test_what_is_fine_suggests_nothing(finding: Finding) -> None:
    assert finding.level is Level.FINE
    assert finding.seen and not finding.hint


@pytest.mark.parametrize(
    ("level", "finding", "word"), [(Level.RISK, *r) for r in RISKS] + [(Level.BAD, *b) for b in BAD]
)
def test_what_is_not_fine_says_what_was_seen_and_what_to_try(level: Level, finding: Finding, word: str) -> None:
    assert finding.level is level
    assert finding.seen and word in finding.hint
