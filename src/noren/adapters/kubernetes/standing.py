"""How a Deployment's newest pods stand: done, on the way, or at fault, long before Kubernetes' own 600 s.

Pure but for what it remembers: since when it has seen a state that may pass by itself. ``traffic`` asks while a
template is rolled out, ``probes`` during the bake time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from noren.adapters.kubernetes.fields import Json, items, table

AT_ONCE = (
    *("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError"),
    *("RunContainerError", "ImagePullBackOff", "CrashLoopBackOff"),
)
PULL_SECONDS = 20.0  # a registry that stumbles once is tried again by the kubelet
UNSCHEDULABLE_SECONDS = 60.0  # in which an autoscaler may bring a node
RESTARTS = 2
_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, as Kubernetes says it; ``pod`` None: no pod came to be."""

    reason: str
    message: str = ""
    pod: str | None = None
    container: str | None = None

    def __str__(self) -> str:
        where = f"pod {self.pod}: " if self.pod else ""
        return f"{where}{self.reason}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """``progress`` changes with each pod that comes further; ``pods`` are the new ones, ``waiting`` one of them."""

    done: bool
    progress: tuple[int, ...]
    ready: int
    wanted: int
    restarts: int
    waiting: str | None = None
    fault: Fault | None = None

    def __str__(self) -> str:
        restarts = f"{self.restarts} restart" + ("" if self.restarts == 1 else "s")
        return f"{self.ready} of {self.wanted} pods ready, {restarts}"


class Watcher:
    """Looks at one rollout again and again."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def look(self, deployment: Json, sets: Sequence[Json], pods: Sequence[Json], now: float) -> Standing:
        """Where it stands; ``now`` is monotonic seconds."""
        status, wanted = table(deployment, "status"), deployment["spec"].get("replicas", 1)
        newest = newest_set(deployment, sets)
        ours = pods_of(newest, pods)
        updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
        available = status.get("availableReplicas", 0)
        seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        whole = updated == wanted and total == updated and available == updated
        ready = [pod for pod in ours if _condition(pod, "Ready").get("status") == "True"]
        return Standing(
            done=seen and whole and newest is not None,
            progress=(int(seen), updated, available, -total, len(ready)),
            ready=len(ready),
            wanted=wanted,
            restarts=sum(s.get("restartCount", 0) for pod in ours for s in _containers(pod)),
            waiting=next((pod["metadata"]["name"] for pod in ours if pod not in ready), None),
            fault=self._fault(deployment, newest, ours, now) if seen else None,
        )

    def _fault(self, deployment: Json, newest: Json | None, pods: Sequence[Json], now: float) -> Fault | None:
        faults = [fault for pod in pods for fault in self._pod(pod, now)]
        failure = _condition(newest or Json(), "ReplicaFailure")
        if failure.get("status") == "True":
            faults.append(Fault(reason=failure.get("reason", "ReplicaFailure"), message=failure.get("message", "")))
        stuck = _condition(deployment, "Progressing")
        if stuck.get("reason") == "ProgressDeadlineExceeded":
            faults.append(Fault(reason=stuck["reason"], message=stuck.get("message", "")))
        return faults[0] if faults else None

    def _pod(self, pod: Json, now: float) -> Iterator[Fault]:
        name = pod["metadata"]["name"]
        scheduled = _condition(pod, "PodScheduled")
        if scheduled.get("reason") == "Unschedulable" and self._lasts(name, "schedule", UNSCHEDULABLE_SECONDS, now):
            yield Fault(reason="Unschedulable", message=scheduled.get("message", ""), pod=name)
        for status in _containers(pod):
            if found := self._container(name, status, now):
                yield Fault(reason=found[0], message=found[1], pod=name, container=status["name"])

    def _container(self, pod: str, status: Json, now: float) -> tuple[str, str] | None:
        state, last = table(status, "state"), table(status, "lastState")
        for ended in (table(state, "terminated"), table(last, "terminated")):
            if ended.get("reason") == "OOMKilled":
                return "OOMKilled", "the container took more memory than its limit"
        waiting = table(state, "waiting")
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        ended = table(last, "terminated")
        code = f"{ended.get('reason', '')} with exit code {ended['exitCode']}" if "exitCode" in ended else ""
        if reason in AT_ONCE:
            return reason, "; ".join(part for part in (message, code, ended.get("message", "")) if part)
        if reason == "ErrImagePull" and self._lasts(pod, status["name"], PULL_SECONDS, now):
            return reason, message
        if status.get("restartCount", 0) >= RESTARTS:
            return f"restarted {status['restartCount']} times", code
        return None

    def _lasts(self, pod: str, what: str, seconds: float, now: float) -> bool:
        return now - self._since.setdefault((pod, what), now) > seconds


def newest_set(deployment: Json, sets: Sequence[Json]) -> Json | None:
    """The ReplicaSet of the present template."""
    revision = table(deployment, "metadata", "annotations").get(_REVISION)
    uid = deployment["metadata"]["uid"]
    for each in sets:
        owned = any(owner["uid"] == uid for owner in items(each, "metadata", "ownerReferences"))
        if owned and table(each, "metadata", "annotations").get(_REVISION) == revision:
            return each
    return None


def pods_of(replicas: Json | None, pods: Sequence[Json]) -> list[Json]:
    """Its pods that are not on their way out."""
    if replicas is None:
        return []
    uid = replicas["metadata"]["uid"]
    return [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(owner["uid"] == uid for owner in items(pod, "metadata", "ownerReferences"))
    ]


def _containers(pod: Json) -> list[Json]:
    return [*items(pod, "status", "initContainerStatuses"), *items(pod, "status", "containerStatuses")]


def _condition(thing: Json, kind: str) -> Json:
    return next((c for c in items(thing, "status", "conditions") if c["type"] == kind), Json())
