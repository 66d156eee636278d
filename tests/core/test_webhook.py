"""A webhook proves itself as its forge documents, and by nothing else."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode

import pytest

from noren.core.webhook import delivery, proven, well_formed

SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
GITHUB = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"  # of GitHub's documentation
STANDARD = {  # of the specification of Standard Webhooks
    "webhook-id": "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
    "webhook-timestamp": "1649367553",
    "webhook-signature": "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
}
STANDARD_SECRET, THEN = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", 1649367553.0
STANDARD_BODY = b'{"email":"test@example.com","username":"test_user"}'
SHA1 = hmac.digest(SECRET.encode(), BODY, "sha1").hex()
OTHER = hmac.digest(b"the secret of another repository", BODY, "sha256").hex()

GOOD = {
    "GitHub": {"x-hub-signature-256": f"sha256={GITHUB}"},
    "Gitea, which sends both": {"x-gitea-signature": GITHUB, "x-hub-signature-256": f"sha256={GITHUB}"},
    "Gitea": {"x-gitea-signature": GITHUB},
    "Forgejo": {"x-forgejo-signature": GITHUB},
    "GitLab's token": {"x-gitlab-token": SECRET},
}
FORGED = {
    "nothing": {},
    "empty": {"x-hub-signature-256": ""},
    "only the algorithm": {"x-hub-signature-256": "sha256="},
    "no algorithm": {"x-hub-signature-256": GITHUB},
    "short": {"x-hub-signature-256": f"sha256={GITHUB[:-1]}"},
    "long": {"x-hub-signature-256": f"sha256={GITHUB}0"},
    "upper case": {"x-hub-signature-256": f"sha256={GITHUB.upper()}"},
    "upper algorithm": {"x-hub-signature-256": f"SHA256={GITHUB}"},
    "space": {"x-hub-signature-256": f"sha256= {GITHUB}"},
    "not ASCII": {"x-hub-signature-256": f"sha256={GITHUB[:-1]}é"},
    "SHA-1": {"x-hub-signature": f"sha1={SHA1}"},
    "SHA-1 where SHA-256 belongs": {"x-hub-signature-256": f"sha1={SHA1}"},
    "another repository's secret": {"x-hub-signature-256": f"sha256={OTHER}"},
    "a good one after a wrong one": {"x-hub-signature-256": f"sha256={OTHER}", "x-gitlab-token": SECRET},
    "twice": {"x-hub-signature-256": f"sha256={GITHUB}, sha256={GITHUB}"},
    "Gitea's with an algorithm": {"x-gitea-signature": f"sha256={GITHUB}"},
    "Gitea's wrong": {"x-gitea-signature": OTHER},
    "Forgejo's wrong, Gitea's right": {"x-forgejo-signature": OTHER, "x-gitea-signature": GITHUB},
    "GitLab's wrong": {"x-gitlab-token": SECRET[:-1]},
    "GitLab's empty": {"x-gitlab-token": ""},
    "GitLab's in another case": {"x-gitlab-token": SECRET.lower()},
}


@pytest.mark.parametrize("headers", GOOD.values(), ids=GOOD)
def test_who_knows_the_secret_is_believed(headers: dict[str, str]) -> None:
    assert proven(headers, BODY, SECRET, THEN)


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
def test_who_does_not_is_not(headers: dict[str, str]) -> None:
    assert not proven(headers, BODY, SECRET, THEN)


@pytest.mark.parametrize("headers", GOOD.values(), ids=GOOD)
def test_a_changed_payload_is_not_what_was_signed(headers: dict[str, str]) -> None:
    assert "x-gitlab-token" in headers or not proven(headers, BODY + b" ", SECRET, THEN)


@pytest.mark.parametrize("headers", [{"x-gitlab-token": ""}, {}, {"x-hub-signature-256": "sha256="}])
def test_without_a_secret_nobody_is_believed(headers: dict[str, str]) -> None:
    assert not proven(headers, BODY, "", THEN)


def test_standard_webhooks_are_believed_for_five_minutes() -> None:
    assert proven(STANDARD, STANDARD_BODY, STANDARD_SECRET, THEN)
    assert proven(STANDARD, STANDARD_BODY, STANDARD_SECRET, THEN + 299)
    assert not proven(STANDARD, STANDARD_BODY, STANDARD_SECRET, THEN + 301)
    assert not proven(STANDARD, STANDARD_BODY, STANDARD_SECRET, THEN - 301)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-id": ""},
        {"webhook-timestamp": "1649367554"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1649367553"},
        {"webhook-timestamp": "²"},
        {"webhook-signature": STANDARD["webhook-signature"].removeprefix("v1,")},
        {"webhook-signature": STANDARD["webhook-signature"].replace("v1,", "v1a,")},
    ],
)
def test_every_part_of_a_standard_webhook_is_signed(change: dict[str, str]) -> None:
    assert not proven(STANDARD | change, STANDARD_BODY, STANDARD_SECRET, THEN)


def test_one_right_signature_of_several_is_enough_while_a_secret_is_changed() -> None:
    several = {"webhook-signature": f"v1,{b64encode(b'x' * 32).decode()} {STANDARD['webhook-signature']}"}
    assert proven(STANDARD | several, STANDARD_BODY, STANDARD_SECRET, THEN)


@pytest.mark.parametrize(
    ("body", "kind", "good"),
    [
        (b'{"ref": "refs/heads/main"}', "application/json", True),
        (b'{"ref": "refs/heads/main"}', "application/json; charset=utf-8", True),
        (b"payload=%7B%22zen%22%3A%22x%22%7D", "application/x-www-form-urlencoded", True),
        (b"", "application/json", False),
        (b"[]", "application/json", False),
        (b"null", "application/json", False),
        (b'{"ref": ', "application/json", False),
        (b'{"ref": "a", "ref": "b"}', "application/json", False),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "application/json", False),
        (b"[" * 100_000, "application/json", False),
        (b'{"a": "\xff\xfe"}', "application/json", False),
        (b'{"n": ' + b"9" * 100_000 + b"}", "application/json", False),
        (b"other=1", "application/x-www-form-urlencoded", False),
        (b"payload=[]", "application/x-www-form-urlencoded", False),
        (b"\x1f\x8b\x08", "application/json", False),
    ],
)
def test_a_payload_is_one_json_object(body: bytes, kind: str, good: bool) -> None:
    assert well_formed({"content-type": kind}, body) is good


def test_a_delivery_has_the_name_that_its_forge_gave_it() -> None:
    names = [{"x-github-delivery": "a"}, {"x-gitea-delivery": "a"}, {"webhook-id": "a"}, {"idempotency-key": "a"}]
    assert len({delivery(headers) for headers in names}) == 1
    assert delivery({}) is None
    assert len(delivery({"x-github-delivery": "x" * 10_000}) or "") == 32


def test_the_digest_is_the_one_of_the_documentation() -> None:
    assert hmac.digest(SECRET.encode(), BODY, hashlib.sha256).hex() == GITHUB
