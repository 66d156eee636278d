"""An answer is complete only when its framing says so, and garbage is never taken for an answer."""

from __future__ import annotations

import pytest

from noren.prove.parser import HEAD_LIMIT, AnswerParser, ParseError

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def parsed(data: bytes, method: str = "GET", *, step: int = 1 << 20) -> AnswerParser:
    parser = AnswerParser(method)
    for position in range(0, len(data), step):
        parser.feed(data[position : position + step])
    return parser


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (HEAD + b"content-length: 5\r\n\r\nabcde", b"abcde"),
        (CHUNKED + b"3\r\nabc\r\nA;ext\r\n0123456789\r\n0\r\n\r\n", b"abc0123456789"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n", b""),
    ],
)
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(data: bytes, body: bytes, step: int) -> None:
    parser = parsed(data, step=step)
    assert parser.done
    assert parser.answer().body == body
    assert not parsed(data[:-1], step=step).done


@pytest.mark.parametrize(("method", "status"), [("HEAD", b"200 OK"), ("GET", b"304 Not Modified")])
def test_some_answers_have_a_length_and_no_body(method: str, status: bytes) -> None:
    assert parsed(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n", method).done


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 1, 1\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"1\r\nab\r\n",
        HEAD + b"x" * (HEAD_LIMIT + 1),
    ],
)
def test_garbage_is_no_answer(data: bytes) -> None:
    with pytest.raises(ParseError):
        parsed(data)


def test_what_follows_an_answer_is_left_over() -> None:
    assert parsed(HEAD + b"Content-Length: 1\r\n\r\nabc").leftover == b"bc"


def test_only_an_answer_without_a_length_may_end_with_its_connection() -> None:
    assert parsed(HEAD + b"\r\nabc").end()
    assert not parsed(HEAD + b"Content-Length: 4\r\n\r\nabc").end()
    assert not parsed(CHUNKED + b"3\r\nabc\r\n").end()
    assert not parsed(HEAD).end()
