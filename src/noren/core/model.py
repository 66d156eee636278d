"""The nouns: what an app is set to, and what is built, released, run and routed.

Everything here is frozen; every other module passes these around. Durations are seconds,
records of time are UTC as RFC 3339 text, sizes are bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from noren.core.forge import Forge, Preview, PullRequests


class Kind(StrEnum):
    """How an app serves: by files, by processes, or by the pods of a Kubernetes Deployment."""

    STATIC = "static"
    PROCESS = "process"
    KUBERNETES = "kubernetes"


class Strategy(StrEnum):
    """How traffic moves from the active release to the candidate."""

    BLUE_GREEN = "blue-green"
    ROLLING = "rolling"


class Notify(StrEnum):
    """Of which outcomes people are told."""

    FAILURES = "failures"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """How people of this host are told; ``webhook`` a URL, ``secret_env`` the variable of the daemon that signs it,
    ``command`` a shell command, ``apprise_file`` the absolute path of a file of Apprise URLs.
    """

    webhook: str | None = None
    secret_env: str | None = None
    command: str | None = None
    apprise_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How a revision becomes an artifact; ``run`` None: the tree itself is the artifact."""

    run: str | None = None
    timeout: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """How files are served. ``cache_control``: (glob, header value), the first match wins."""

    clean_urls: bool = True
    not_found: str = "404.html"
    fallback: str | None = None
    cache_control: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """What makes Noren look for a new revision; ``poll`` None: off.

    ``schedule`` is "hourly", "daily" or a cron line. Outside ``windows`` what a trigger wants waits. The time zone of
    both is UTC unless set: the same on every host, and without daylight saving.
    """

    poll: float | None = 30.0
    schedule: str | None = None
    timezone: str = "UTC"
    windows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """How Git servers tell of a push; ``secret_env`` names a variable of the daemon, None: they may not."""

    secret_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What an instance must answer before it gets traffic; ``status`` None: any 2xx."""

    path: str = "/"
    status: int | None = None
    body: str | None = None
    host: str | None = None
    interval: float = 0.25
    timeout: float = 2.0
    successes: int = 3
    deadline: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How real traffic is judged after the switch; ``max_error_rate`` above what the old release had."""

    bake_time: float = 60.0
    max_error_rate: float = 0.02
    min_requests: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How long a retired release may finish its requests and long connections, and a process its exit."""

    requests: float = 30.0
    connections: float = 600.0
    grace: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one instance may use where the host allows it to be limited; None: no limit."""

    memory: int | None = None
    open_files: int | None = None
    log: int = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """Where an app runs in a cluster, and what Noren may change there.

    ``mode`` adopt: the Deployment is there, and ``repair`` lets Noren mend what would lose requests in it. ``mode``
    own: it is Noren's; ``replicas``, ``port``, ``env_from`` and ``route`` (a Gateway as namespace/name) are for these.
    ``checks`` are paths asked through the Service during the bake time. ``base_image`` gets what a build left as one
    layer at ``base_path``; a build that leaves nothing is made of ``dockerfile``. Paths of files are absolute.
    """

    deployment: str
    namespace: str = "default"
    mode: str = "own"
    container: str | None = None
    repair: bool = False
    context: str | None = None
    kubeconfig: str | None = None
    service: str | None = None
    checks: tuple[str, ...] = ()
    # Endpoints are taken out while SIGTERM is on its way (kubernetes #43576): a pod serves on for so long.
    pre_stop: float = 5.0
    port: int = 8080
    replicas: int = 2
    env_from: tuple[str, ...] = ()
    route: str | None = None
    dockerfile: str = "Dockerfile"
    base_image: str | None = None
    base_path: str = "/usr/share/nginx/html"
    registry_auth_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How a private repository is reached; paths are absolute, ``token_env`` names a variable of the daemon."""

    ssh_key_file: str | None = None
    known_hosts_file: str | None = None
    token_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The effective settings of one app, every default filled in.

    ``secrets`` are the variables of ``env_file``: they reach builds and processes like ``env``
    and are masked everywhere else. ``image`` is where builds are pushed or, with its tag, what is watched.
    With ``tags``, a pattern, the newest version is followed instead of a branch.
    """

    name: str
    kind: Kind
    repo: str
    branch: str | None = None
    tags: str | None = None
    prereleases: bool = False
    root: str = "."
    watch: tuple[str, ...] = ()
    publish: str | None = None
    hosts: tuple[str, ...] = ()
    keep: int = 10
    keep_warm: float = 300.0
    release_header: bool = True
    submodules: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    build: Build = field(default_factory=Build)
    static: Static = field(default_factory=Static)
    triggers: Triggers = field(default_factory=Triggers)
    notify: Notify = Notify.FAILURES
    webhook: Webhook = field(default_factory=Webhook)
    forge: Forge | None = None
    pull_requests: PullRequests | None = None
    preview: Preview | None = None
    run: str | None = None
    instances: int = 1
    strategy: Strategy = Strategy.BLUE_GREEN
    surge: int = 1
    min_ready: float = 0.0
    ready: Ready = field(default_factory=Ready)
    verify: Verify = field(default_factory=Verify)
    drain: Drain = field(default_factory=Drain)
    limits: Limits = field(default_factory=Limits)
    image: str | None = None
    kubernetes: Kubernetes | None = None

    @property
    def variables(self) -> dict[str, str]:
        """Declared environment, secrets included."""
        return {**dict(self.env), **dict(self.secrets)}


_JOINED = ("image", "kubernetes")  # settings of later: an app without them keeps the digest it always had
# Settings that take effect without a new release: where requests come from, what is kept, when to look.
_LIVE = (
    *("hosts", "keep", "keep_warm", "release_header", "triggers", "webhook", "drain"),
    *("branch", "tags", "prereleases", "credentials", "watch", "notify"),
    *("forge", "pull_requests", "preview"),
)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def settings_digest(app: App) -> str:
    """Names the settings a release runs with: a change of any of them is a new release of the same revision."""
    values = {key: value for key, value in asdict(app).items() if key not in _LIVE}
    return _digest({key: value for key, value in values.items() if value is not None or key not in _JOINED})


def build_key(app: App, revision: str, rebuilt: str | None = None) -> str:
    """Names an artifact: same key, same artifact, across apps.

    ``rebuilt`` is the scheduled time for which it is built again, None for the build that the commit led to.
    Kind counts only for what the builder does with the result (a process keeps its tree).
    """
    parts = [revision, app.repo, app.kind, app.root, app.submodules, asdict(app.build), sorted(app.variables.items())]
    # What a pull request builds is never taken for a build of the app itself, nor of another pull request.
    return _digest([*parts, *filter(None, (app.image, rebuilt, app.preview and app.name))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A revision as Git tells it; ``committed_at`` is RFC 3339 UTC, ``tag`` the newest of the app's that led to it."""

    revision: str
    subject: str
    author: str
    committed_at: str
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a build left, at its final place.

    ``path`` is what is served (static) or the working directory (process), absolute.
    ``digest`` names the content: what is built again and has the same one is the same release.
    ``seconds`` is how long the build ran; 0 when an earlier build with the same key was taken.
    """

    key: str
    path: str
    digest: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A build with settings: numbered per app, immutable."""

    app: App
    number: int
    revision: str
    artifact: Artifact

    @property
    def label(self) -> str:
        """``website@42``: what ``X-Noren-Release`` says."""
        return f"{self.app.name}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running copy of a release.

    ``id`` is chosen and committed before the start, and marks the process (``NOREN_INSTANCE``).
    ``address`` is ``127.0.0.1:PORT`` or ``unix@/path``; None until started.
    ``pid`` with ``start_ticks`` (field 22 of /proc/PID/stat) and ``boot_id`` name a process beyond
    pid reuse and reboots; None where the instance is no process.
    ``log`` is the file its output goes to, None where it has none.
    """

    id: str
    app: str
    release: int
    ordinal: int
    address: str | None = None
    pid: int | None = None
    start_ticks: int | None = None
    boot_id: str | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What serves already, although the ledger knows nothing of it: taken over as release ``instance.release``.

    ``settings`` is the digest of the settings it was released with, None when Noren did not release it.
    """

    instance: Instance
    rollout: int
    revision: str
    artifact: Artifact
    settings: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How an instance ended; ``code`` is negative for a signal and None when unknown (it was adopted).

    ``what`` says it where there is no code. ``respected``: somebody changed it on purpose, nothing is put in its place.
    """

    instance: str
    code: int | None
    log_tail: str = ""
    what: str = ""
    respected: bool = False

    def __str__(self) -> str:
        if self.what:
            return self.what
        if self.code is None:
            return "ended (exit code unknown: the process was adopted after a restart of Noren)"
        return f"was ended by signal {-self.code}" if self.code < 0 else f"exited with code {self.code}"

    @property
    def hint(self) -> str:
        """What to try, where the code alone tells; 126, 127 and 128 + signal are the shell's (POSIX, Exit Status)."""
        return _EXIT_HINTS.get(self.code, "")


_KILLED = "kill -9 came from outside: `limits.memory`, a machine out of memory (dmesg), or a person"
_EXIT_HINTS: dict[int | None, str] = {
    0: "`run` must stay in the foreground as long as it serves: no daemon mode, no `&`",
    126: "make the command of `run` executable",
    127: "install the command of `run` on this host, or let the build make it",
    137: _KILLED,
    -9: _KILLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """What one probe saw; kept for the reason of a release that never becomes ready.

    ``body`` is the head of the answer (≤ 200 characters, control characters replaced),
    ``problem`` is "" exactly when ``ok``. ``judged`` sums up what a probe saw that looks at more than one answer.
    """

    ok: bool
    url: str
    status: int | None = None
    body: str = ""
    seconds: float = 0.0
    problem: str = ""
    hint: str = ""
    judged: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An instance as the proxy sees it. ``draining``: no new requests, running ones end."""

    instance: str
    release: int
    address: str
    draining: bool = False
    backup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The instances of one release that one rollout started: what requests are routed to.

    A restart makes a second backend of the same release, so the name carries the rollout.
    ``site`` names the folder of a static release, None for processes.
    """

    app: str
    release: int
    rollout: int
    servers: tuple[Server, ...] = ()
    site: str | None = None
    cache_control: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """``website@42.7``: release 42 as started by rollout 7."""
        return f"{self.app}@{self.release}.{self.rollout}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """All that the proxy has to know of one app: whole and idempotent.

    ``active`` and ``candidate`` are names of ``backends``; the candidate gets the share ``weight``
    (0..1) of new requests. ``active`` None: nothing is released yet. A ``preview`` is kept from search
    engines and, if it has a login, from strangers.
    """

    app: str
    hosts: tuple[str, ...]
    release_header: bool = True
    backends: tuple[Backend, ...] = ()
    active: str | None = None
    candidate: str | None = None
    weight: float = 0.0
    preview: Preview | None = None
