"""Each fault put into Noren's source is found by the harness, and says so in the right words.

Short: three faults. Full (`make prove-mutants`): all, and every scenario passes with the source as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mutants import scenarios
from tests.proofs.claim import claim

ROOT = Path(__file__).parents[2]
SHORT = {"quarantine-ignored", "receipt-counts-nothing", "sigterm-before-switch"}
FULL = (pytest.mark.slow, pytest.mark.timeout(600))


@dataclass(frozen=True)
class Mutant:
    """A patch: what is wrong, the scenario that must fail by it, and the words (a pattern) with which."""

    name: str
    fault: str
    scenario: str
    says: str
    file: Path

    @staticmethod
    def read(file: Path) -> Mutant:
        """From the head of the patch."""
        head = dict(line.split(": ", 1) for line in file.read_text().partition("\n\n")[0].splitlines())
        return Mutant(file.stem, head["Fault"], head["Scenario"], head["Says"], file)


MUTANTS = [Mutant.read(file) for file in sorted(Path(__file__).parent.glob("*.patch"))]
SCENARIOS = sorted(name for name in vars(scenarios) if name.startswith("test_"))
NEEDED = {mutant.scenario for mutant in MUTANTS if mutant.name in SHORT}


def copied(folder: Path) -> Path:
    """The source, in a place of its own."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "src"


def run(scenario: str, source: Path) -> subprocess.CompletedProcess[str]:
    """One scenario, harness and daemon from this source."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=200", "--tb=short"]
    env = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    # Not in the folder of our own test: the paths of sockets may have 100 bytes only.
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        argv += ["--basetemp", f"{folder}/t", f"tests/mutants/scenarios.py::{scenario}"]
        return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


def test_there_are_at_least_twelve_and_each_names_a_scenario() -> None:
    assert len(MUTANTS) >= 12
    assert {mutant.name for mutant in MUTANTS} >= SHORT
    assert {mutant.scenario for mutant in MUTANTS} == set(SCENARIOS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_patch_still_applies_and_leaves_source_that_compiles(mutant: Mutant, tmp_path: Path) -> None:
    source = patched(mutant, tmp_path)
    changed = [file for file in source.rglob("*") if file.is_file() and differs(file, source)]
    assert changed
    for file in changed:
        if file.suffix == ".py":
            compile(file.read_text(), str(file), "exec")


def differs(file: Path, source: Path) -> bool:
    return file.read_bytes() != (ROOT / "src" / file.relative_to(source)).read_bytes()


def patched(mutant: Mutant, folder: Path) -> Path:
    source = copied(folder)
    # Were the folder inside a checkout, git would leave out what that checkout does not have, and say nothing.
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(["git", "apply", str(mutant.file)], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{mutant.name} no longer applies:\n{done.stdout}{done.stderr}"
    return source


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [n if n in NEEDED else pytest.param(n, marks=FULL) for n in SCENARIOS])
def test_the_source_as_it_is_passes(name: str, tmp_path: Path) -> None:
    done = run(name, copied(tmp_path))
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", [pytest.param(m, id=m.name, marks=() if m.name in SHORT else FULL) for m in MUTANTS])
def test_the_fault_is_found(mutant: Mutant, tmp_path: Path) -> None:
    done = run(mutant.scenario, patched(mutant, tmp_path))
    assert done.returncode == 1, f"{mutant.name} was not found:\n{done.stdout}"
    errors = "\n".join(line for line in done.stdout.splitlines() if line.startswith("E "))
    assert re.search(mutant.says, errors), f"{mutant.name} was found, but not in these words: {mutant.says}\n{errors}"
    claim(
        f"found: {mutant.fault}", next(line for line in errors.splitlines() if re.search(mutant.says, line))[1:].strip()
    )
