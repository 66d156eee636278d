"""Whatever stands in the file: a Settings or a SettingsError comes out, and each key has its line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from noren.core.errors import SettingsError
from noren.settings import quantity, tables
from noren.settings.file import load
from noren.settings.positions import key_lines

KEYS = sorted(
    {"server", "defaults", "apps", "a", "x y", 'q"', *tables.AppTable.model_fields, *tables.ReadyTable.model_fields}
)
VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        st.sampled_from(["30s", "static", "process", "/x", "512MB", "off", "a.example", "https://g.example/a.git"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=12,
)
TABLE = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n ".join(toml(inner) for inner in value) + "]"
    if isinstance(value, float):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def lines_of(document: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in document.items())


def attempt(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noren.toml"
        path.write_bytes(text.encode())
        try:
            load(path)
        except SettingsError as exc:
            assert str(exc)


@settings(max_examples=150, deadline=None)
@given(st.one_of(TABLE, st.fixed_dictionaries({"defaults": TABLE, "apps": st.fixed_dictionaries({"a": TABLE})})))
def test_arbitrary_settings_never_raise_anything_else(document: dict[str, Any]) -> None:
    attempt(lines_of(document))


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from(list("[]{}=.,\"'\\# \n\tabc019-:")), max_size=60))
def test_arbitrary_text_never_raises_anything_else(text: str) -> None:
    attempt(text)


@settings(max_examples=100, deadline=None)
@given(TABLE)
def test_every_key_has_a_line_and_it_names_the_key(document: dict[str, Any]) -> None:
    text = "# one\n\n" + lines_of(document)
    lines = key_lines(text)
    source = text.split("\n")

    def check(value: Any, place: tuple[str | int, ...]) -> None:
        if place and isinstance(place[-1], str):
            assert json.dumps(place[-1]) in source[lines[place] - 1]
        for key, inner in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            check(inner, (*place, key))

    check(document, ())


def test_headers_dotted_keys_and_arrays_of_tables_are_placed() -> None:
    text = 'a.b = 1\n[c . "d.e"]\nf = """\n]\n""" # x\n[[g]]\nh = [ 1, # [\n 2 ]\n[[g]]\n[g.i]\nj = { k = \'\\\' }\n'
    assert key_lines(text) == {
        ("a",): 1,
        ("a", "b"): 1,
        ("c",): 2,
        ("c", "d.e"): 2,
        ("c", "d.e", "f"): 3,
        ("g",): 6,
        ("g", 0): 6,
        ("g", 0, "h"): 7,
        ("g", 0, "h", 0): 7,
        ("g", 0, "h", 1): 8,
        ("g", 1): 9,
        ("g", 1, "i"): 10,
        ("g", 1, "i", "j"): 11,
        ("g", 1, "i", "j", "k"): 11,
    }


@given(st.integers(0, 10**8).map(lambda n: n / 1000))
def test_durations_are_written_as_they_are_read(seconds: float) -> None:
    assert quantity.duration(quantity.write_duration(seconds)) == seconds


@given(st.integers(0, 10**9 - 1))
def test_sizes_are_written_as_they_are_read(count: int) -> None:
    assert quantity.size(quantity.write_size(count)) == count
