"""What the reference lists is all there is: phases, outcomes, errors, variables, keys of JSON."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path

import pytest

from noren.adapters.build import Build
from noren.adapters.cgroup import Cgroup
from noren.adapters.launch import Launch
from noren.core import errors
from noren.core.model import Release
from noren.core.retire import RetirePhase
from noren.core.rollout import Phase, RolloutKind
from noren.core.verdict import Outcome
from tests.api.fake_desk import RECEIPT, STATUS
from tests.core.parts import APP, ARTIFACT
from tests.docs.pages import REFERENCE, blocks, rows


def _section(page: str, heading: str) -> set[str]:
    text = (REFERENCE / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "members"),
    [("Phases of a rollout", Phase), ("Outcomes", Outcome), ("Phases of a retired release", RetirePhase)],
)
def test_every_phase_and_outcome_is_explained(heading: str, members: type[StrEnum]) -> None:
    assert _section("phases.md", heading) == {member.value for member in members}


def test_every_kind_of_rollout_is_named() -> None:
    page = (REFERENCE / "json.md").read_text()
    assert all(f"`{kind}`" in page for kind in RolloutKind)


def test_every_error_is_explained_with_its_exit_code() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    found = rows(REFERENCE / "errors.md")
    codes = {row[0]: row[2] for row in found if row[0].isdigit()}
    for error in (c for c in classes if issubclass(c, errors.NorenError)):
        assert f"`{error.__name__}`" in codes[str(error.exit_code)]
        assert any(row[0] == f"`{error.__name__}`" for row in found)


def test_every_variable_of_builds_and_processes_is_in_the_reference(tmp_path: Path) -> None:
    told = {row[0].strip("`"): row[1:3] for row in rows(REFERENCE / "environment.md") if row[1] in ("yes", "")}
    build = Build(APP, "abc", "key", tmp_path, Cgroup(()))
    process = Launch(Release(app=APP, number=1, revision="abc", artifact=ARTIFACT), "api-1-1-0", 20000, tmp_path)
    assert {name for name, row in told.items() if row[0]} == set(build.environment())
    assert {name for name, row in told.items() if row[1]} == set(process.environment())


def test_the_json_of_the_reference_has_the_keys_that_are_answered() -> None:
    status, releases, receipt = (json.loads(block) for block in blocks(REFERENCE / "json.md", "json"))
    assert set(status["apps"][0]) == set(STATUS)
    assert set(receipt) == set(RECEIPT)
    assert set(receipt["requests"]) == set(RECEIPT["requests"])
    assert set(receipt["latency_ms"]) == set(RECEIPT["latency_ms"])
    assert [set(row) for row in releases] == [{"release", "revision", "built_at", "outcome", "reason"}] * 2
