"""The file of secrets: what shells and containers take, and errors that repeat no value."""

from __future__ import annotations

from pathlib import Path

import pytest

from noren.settings import envfile


def read(folder: Path, raw: bytes) -> tuple[dict[str, str], list[tuple[int, str]]]:
    (folder / "x.env").write_bytes(raw)
    return envfile.read(folder / "x.env")


def test_values_are_taken_plain_or_quoted(tmp_path: Path) -> None:
    variables, problems = read(
        tmp_path,
        b'\xef\xbb\xbf# comment\r\nA=1\r\nexport B = two words # why\nC=\'#not a $comment\'\nD="a\\n\\"b\\"" # c\n'
        b"E=\nF=pa#ss=word\nG=#hash\n",
    )
    assert problems == []
    assert variables == {
        "A": "1",
        "B": "two words",
        "C": "#not a $comment",
        "D": 'a\n"b"',
        "E": "",
        "F": "pa#ss=word",
        "G": "#hash",
    }


def test_each_wrong_line_is_told_without_its_value(tmp_path: Path) -> None:
    _, problems = read(tmp_path, b'geheim\n1A=geheim\nPORT=geheim\nA=\'geheim\nNOREN_X=geheim\nB="geheim" geheim\n')
    assert [line for line, _ in problems] == [1, 2, 3, 4, 5, 6]
    assert "geheim" not in "".join(text for _, text in problems)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for raw, reason in ((b"A=\xff", "UTF-8"), (b"A=" + b"x" * 1_000_001, "1 MB")):
        with pytest.raises(ValueError, match=reason):
            read(tmp_path, raw)
