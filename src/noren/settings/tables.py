"""The tables and keys of ``noren.toml``: what may stand where, and what it means.

Used by ``file`` to validate and by ``schema``. No default stands here: a key that is not written
keeps the default of its dataclass in ``noren.core.model``, the one place for it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from noren.settings.words import (
    Branch,
    Command,
    Duration,
    EnvFrom,
    ForgeName,
    Gateway,
    Glob,
    Host,
    Inside,
    KindName,
    Label,
    Listen,
    ModeName,
    NotifyName,
    Poll,
    Ports,
    Positive,
    PreviewHost,
    Reference,
    Schedule,
    Size,
    StrategyName,
    Tags,
    Text,
    UrlPath,
    Value,
    Variable,
    WebUrl,
    WindowText,
    Zone,
    short,
)


def _about(text: str, **limits: Any) -> Any:
    return Field(default=None, description=text, **limits)


class Table(BaseModel):
    """A table: unknown keys and values of another type are errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def written(self) -> dict[str, Any]:
        """The keys that the file has, with their values read."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class BuildTable(Table):
    run: Command = _about("Shell command; what it puts into $NOREN_OUTPUT is the artifact.")
    timeout: Positive = _about("A build that takes longer has failed.")


class StaticTable(Table):
    clean_urls: bool = _about("Serve /about from about.html or about/index.html.")
    not_found: Inside = _about("Page for status 404.")
    fallback: Inside = _about("Page for every unknown path: single-page apps.")
    cache_control: dict[Text, Text] = _about("Cache-Control header by pattern of paths; the first match wins.")


class TriggersTable(Table):
    poll: Poll = _about('How often the repository is asked for its tip; "off" to disable.')
    schedule: Schedule = _about('"hourly", "daily" or a cron line: builds again, also without a commit.')
    timezone: Zone = _about("Time zone of schedule and windows, by its IANA name.")
    windows: list[WindowText] = _about("When automatic upgrades may begin; outside they wait.")


class WebhookTable(Table):
    secret_env: Variable = _about("Variable of the daemon that holds the secret of the webhook.")


class ForgeTable(Table):
    kind: ForgeName = _about("The dialect of its API; Forgejo is gitea. Default: told from the address of repo.")
    url: Text = _about("Where people find it; default: the host of repo.")
    project: Text = _about("Owner and name; default: the path of repo.")
    token_env: Variable = _about("Variable of the daemon that holds the token; default: token_env of the app.")


class PullRequestsTable(Table):
    hosts: PreviewHost = _about("Where a preview is served; {number} is that of its pull request.")
    limit: int = _about("Previews at once; the newest pull requests have them.", ge=1, le=50)
    ttl: Positive = _about("A preview goes when nothing has happened to its pull request for so long.")
    forks: bool = _about("Commits of forks may have a preview too, each after noren approve.")
    auth_env: Variable = _about("Variable of the daemon that holds user:password for the previews.")
    env_file: Text = _about("Secrets of previews; they never get those of the app.")


class ReadyTable(Table):
    path: UrlPath = _about("What is asked before an instance gets traffic.")
    status: int = _about("The status to expect; default: any 2xx.", ge=100, le=599)
    body: Text = _about("Text that the answer must contain.")
    host: Text = _about("Host header of the probe; default: the app's first host.")
    interval: Positive = _about("Time between two probes.")
    timeout: Positive = _about("A slower answer is no answer.")
    successes: int = _about("Good answers in a row.", ge=1, le=1000)
    deadline: Positive = _about("A release that is not ready by then is aborted.")


class VerifyTable(Table):
    bake_time: Duration = _about("How long real traffic is watched after the switch.")
    max_error_rate: float = _about("Share of errors above what the old release had.", ge=0, le=1)
    min_requests: int = _about("Requests before the slow lane judges.", ge=1)


class DrainTable(Table):
    requests: Duration = _about("Time that running requests get to end.")
    connections: Duration = _about("Time that WebSockets and streams get to end.")
    grace: Duration = _about("From SIGTERM to SIGKILL.")


class LimitsTable(Table):
    memory: Size = _about("Memory of one instance, where the host allows it to be limited.")
    open_files: int = _about("Open files of one instance.", ge=16)
    log: Size = _about("Size at which the log of an instance is turned over.")


class KubernetesTable(Table):
    namespace: Label = _about("Namespace of the app in the cluster.")
    mode: ModeName = _about("adopt a Deployment that is there, or own one; default: adopt if deployment is set.")
    deployment: Label = _about("Name of the Deployment; an own one is named like the app by default.")
    container: Label = _about("The container that gets the image; default: the first.")
    repair: bool = _about("Mend what would lose requests in an adopted Deployment.")
    context: Text = _about("Context of the kubeconfig; default: its current one.")
    kubeconfig: Text = _about("Default: the pod's service account, else $KUBECONFIG, else ~/.kube/config.")
    service: Label = _about("The Service that checks go through; an own one is named like the Deployment.")
    checks: list[UrlPath] = _about("Paths that must answer 2xx through the Service during the bake time.")
    pre_stop: Positive = _about("How long a pod serves on while it is taken out of the endpoints.")
    port: int = _about("Port that an own container listens on.", ge=1, le=65535)
    replicas: int = _about("Pods of an own Deployment.", ge=1, le=1000)
    env_from: list[EnvFrom] = _about("Secrets and ConfigMaps whose keys become variables of an own container.")
    route: Gateway = _about("Gateway that an own HTTPRoute for hosts attaches to, as namespace/name.")
    dockerfile: Inside = _about("What the image is built of, in root, when the build leaves no output.")
    base_image: Text = _about("Image that the output of the build is laid on, as one layer.")
    base_path: UrlPath = _about("Where the output lies in it.")
    registry_auth_file: Text = _about("Credentials of the registry, as docker and podman write them.")


class AppTable(Table):
    """One app."""

    repo: str = _about("URL (https, ssh) or local path of the Git repository.")
    image: Reference = _about("Where images of builds are pushed or, without repo, the tag that is watched.")
    branch: Branch = _about("Default: the remote's HEAD.")
    tags: Tags = _about("Pattern of tags to follow instead of a branch; the newest version wins.")
    prereleases: bool = _about("Follow tags of pre-releases such as v2.0.0-rc.1 too.")
    root: Inside = _about("Folder in which builds and processes start.")
    watch: list[Glob] = _about("A commit that touches none of these is no upgrade; default: root.")
    publish: Inside = _about("Folder of the output that is served; default: all of it.")
    hosts: Annotated[list[Host], Field(min_length=1)] = _about("Host, or host/path; the longest match wins.")
    kind: KindName = _about("Default: process if run is set, kubernetes if its table is there, else static.")
    keep: int = _about("Releases kept.", ge=1)
    keep_warm: Duration = _about("How long the previous release keeps running after a switch was kept.")
    release_header: bool = _about("X-Noren-Release on each answer.")
    ssh_key_file: Text = _about("Private key for ssh, together with known_hosts_file.")
    known_hosts_file: Text = _about("Host keys of the Git server.")
    token_env: Variable = _about("Variable of the daemon that holds the token for https.")
    submodules: bool = _about("Check out submodules too.")
    env: dict[Variable, Value] = _about("Variables of builds and processes.")
    env_file: Text = _about("File of KEY=VALUE lines: secrets.")
    build: Annotated[BuildTable, short("run", BuildTable)] = _about("The build; a string is short for run.")
    static: StaticTable = _about("How files are served.")
    triggers: TriggersTable = _about("What makes Noren look for a new revision.")
    webhook: WebhookTable = _about("How the Git server tells of a push.")
    notify: NotifyName = _about("Of which outcomes [notify] tells.")
    forge: ForgeTable = _about("The API that is told of releases and asked for pull requests.")
    pull_requests: PullRequestsTable = _about("A preview of each pull request.")
    run: Command = _about("Shell command of a process; it must listen on $PORT.")
    instances: int = _about("Copies that run side by side.", ge=1, le=100)
    strategy: StrategyName = _about("How traffic moves to a new release.")
    surge: int = _about("Instances beyond the wanted number during a rolling upgrade.", ge=1, le=100)
    min_ready: Duration = _about("How long an instance must stay ready to count as available.")
    ready: Annotated[ReadyTable, short("path", ReadyTable)] = _about("The readiness probe; a string is short for path.")
    verify: VerifyTable = _about("How real traffic is judged after the switch.")
    drain: DrainTable = _about("How a retired release ends.")
    limits: LimitsTable = _about("What one instance may use.")
    kubernetes: KubernetesTable = _about("Where an app runs in a cluster.")


class ServerTable(Table):
    """The daemon itself."""

    listen: Annotated[list[Listen], Field(min_length=1)] = _about("Addresses of public HTTP.")
    state: Text = _about("Folder of all that Noren writes, relative to the settings file.")
    builds: int = _about("Builds at once.", ge=1, le=64)
    ports: Ports = _about("Ports for instances, outside the ephemeral range.")
    haproxy: Text = _about("Path of another HAProxy (2.8 or newer).")


class NotifyTable(Table):
    """How people are told of outcomes."""

    webhook: WebUrl = _about("URL that gets each message as JSON.")
    secret_env: Variable = _about("Variable of the daemon that holds the secret which signs the messages.")
    command: Command = _about("Shell command that gets each message as JSON on its standard input.")
    apprise_file: Text = _about("File of Apprise URLs, one a line: more than 100 services.")


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class File(Table):
    """The settings of one host: what it listens on, and its apps."""

    server: ServerTable = _about("The daemon itself.")
    notify: NotifyTable = _about("How people are told of outcomes.")
    defaults: AppTable = _about("Any app setting, for every app of the kind it fits.")
    apps: dict[Name, AppTable] = _about("The apps by name.")
