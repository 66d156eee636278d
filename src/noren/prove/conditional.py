"""Conditional GETs: finds a 304 that lies, that is, one for a body which the answering release does not serve.

A cache in front, or ETags made from time and size, can say "not modified" across a rollout or a rollback.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from noren.prove.keepalive import KeepAlive
from noren.prove.load import Stage
from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer, Request


@dataclass(frozen=True, slots=True)
class Version:
    """What one release serves at one path."""

    etag: str
    sha: str


class Contents:
    """What each (release, path) was seen or, by a 304, claimed to serve; they must never contradict."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], Version] = {}

    def learn(self, release: str, path: str, version: Version) -> Problem | None:
        """Take what an answer says; the Problem names both sides of a contradiction."""
        known = self._versions.setdefault((release, path), version)
        if known == version:
            return None
        return Problem(Outcome.WRONG_BODY, f"{path} of {release}: {_show(known)} before, {_show(version)} now")


@dataclass(kw_only=True)
class Conditional(KeepAlive):
    """GETs of ``paths`` with If-None-Match; a share ``fresh`` (0..1) asks without, so that contents are seen."""

    paths: tuple[str, ...] = ("/",)
    fresh: float = 0.2
    contents: Contents = field(default_factory=Contents)

    def __post_init__(self) -> None:
        self._held: dict[str, Version] = {}
        self._sent: dict[str, Version] = {}
        self._scenario, self.check = self.check, self._contradiction

    def next_request(self, stage: Stage) -> Request:
        """A GET of one of the paths, conditional once there is an ETag."""
        request = Request(stage.next_id(), path=stage.rng.choice(self.paths))
        held = self._held.get(request.path)
        if held is not None and stage.rng.random() >= self.fresh:
            request.headers["If-None-Match"] = held.etag
            self._sent[request.id] = held
        return request

    def _contradiction(self, request: Request, answer: Answer) -> Problem | None:
        sent = self._sent.pop(request.id, None)
        version = sent if answer.status == 304 else _version(answer)
        if version is None:
            return Problem(Outcome.WRONG_BODY, "no ETag")
        if answer.status != 304:
            self._held[request.path] = version
        lie = self.contents.learn(answer.release or "-", request.path, version)
        if lie or answer.status == 304 or self._scenario is None:
            return lie
        return self._scenario(request, answer)


def _version(answer: Answer) -> Version | None:
    etag = answer.headers.get("etag")
    return Version(etag, hashlib.sha256(answer.body).hexdigest()) if etag else None


def _show(version: Version) -> str:
    return f"ETag {version.etag} with sha256 {version.sha[:12]}"
