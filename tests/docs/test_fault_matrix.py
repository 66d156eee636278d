"""The fault matrix names every fault, and only tests that exist."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
FAULTS = {f"F{number}" for number in range(1, 48)}
MATRIX, LONG_FORM = PAGE.split("\n### The long form\n")
LONG_FORM = LONG_FORM.split("\n#", 1)[0]
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_every_fault_has_its_row() -> None:
    cells = re.findall(r"^\| (F\d+(?:, F\d+)*) \|", MATRIX, re.MULTILINE)
    assert sorted(name for cell in cells for name in cell.split(", ")) == sorted(FAULTS)


def test_the_long_form_has_one_row_for_each_fault_it_repeats() -> None:
    rows = re.findall(r"^\| (F\d+)\b", LONG_FORM, re.MULTILINE)
    repeated = re.findall(
        r"^def test_(f\d+)_", (ROOT / "tests" / "proofs" / "test_faults.py").read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted(name.upper() for name in repeated)


def test_every_test_that_a_row_names_exists() -> None:
    files = {file.name: file for file in (ROOT / "tests").rglob("test_*.py")}
    named = NAMED.findall(PAGE)
    assert len(named) >= 40
    for file, test in named:
        functions = {node.name for node in ast.walk(ast.parse(files[file].read_text())) if hasattr(node, "name")}
        assert test in functions, f"{file} has no {test}"
