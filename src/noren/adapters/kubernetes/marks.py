"""What a Deployment says about who released what: our annotations, and who manages which field.

Pure. The annotations are the truth: they travel with the pod template, so a ``kubectl rollout undo`` shows an
earlier release, and the field managers say that it was not us.
"""

from __future__ import annotations

from collections.abc import Sequence

from noren.adapters.kubernetes.fields import Json, items, table
from noren.core.model import Release, settings_digest

MANAGER = "noren"  # our name among the managers of the fields of an object
_PREFIX = "noren.dev/"
APP = f"{_PREFIX}app"
RELEASE, ROLLOUT = f"{_PREFIX}release", f"{_PREFIX}rollout"
REVISION, SETTINGS = f"{_PREFIX}revision", f"{_PREFIX}settings"


def marks(release: Release, rollout: int) -> dict[str, str]:
    """The annotations of a pod template."""
    return {
        APP: release.app.name,
        RELEASE: str(release.number),
        ROLLOUT: str(rollout),
        REVISION: release.revision,
        SETTINGS: settings_digest(release.app),
    }


def marked(deployment: Json) -> dict[str, str]:
    """Our annotations on its pod template, with their names cut short; none when we never released it."""
    found = table(deployment, "spec", "template", "metadata", "annotations")
    return {key.removeprefix(_PREFIX): value for key, value in found.items() if key.startswith(_PREFIX)}


def shown(deployment: Json, app: str) -> tuple[int, int] | None:
    """(release, rollout) that its pod template is of; None when it is none of this app's."""
    found = marked(deployment)
    try:
        return (int(found["release"]), int(found["rollout"])) if found["app"] == app else None
    except (KeyError, ValueError):
        return None


def container_of(template: Json, name: str | None) -> Json | None:
    """The container by name, without a name the first; None when there is none."""
    containers: list[Json] = template["spec"]["containers"]
    return next((c for c in containers if name in (None, c["name"])), None)


def owns(deployment: Json, path: Sequence[str]) -> bool:
    """Whether we are a manager of the field; a path is such as ``f:spec``, ``k:{"name":"web"}``."""
    entries = [e for e in items(deployment, "metadata", "managedFields") if e["manager"] == MANAGER]
    return any(_holds(table(entry, "fieldsV1"), path) for entry in entries)


def _holds(fields: Json, path: Sequence[str]) -> bool:
    for part in path:
        if part not in fields:
            return False
        fields = fields[part]
    return True


TEMPLATE = ("f:spec", "f:template")
POD = (*TEMPLATE, "f:spec")


def in_container(name: str, *fields: str) -> tuple[str, ...]:
    """The path of a field of a container."""
    return (*POD, "f:containers", f'k:{{"name":"{name}"}}', *fields)


def is_ours(deployment: Json, container: str) -> bool:
    """Whether nobody has changed the image or the release since we set them."""
    image = owns(deployment, in_container(container, "f:image"))
    return image and (
        not marked(deployment) or owns(deployment, (*TEMPLATE, "f:metadata", "f:annotations", f"f:{ROLLOUT}"))
    )


def changed_by(deployment: Json, app: str) -> str:
    """Who else changed it last: "by kubectl-edit at …", and what runs now where it is a release of ours."""
    others = [
        entry
        for entry in items(deployment, "metadata", "managedFields")
        if entry["manager"] != MANAGER and not entry.get("subresource")
    ]
    newest = max(others, key=lambda entry: entry.get("time", ""), default=None)
    who = f"by {newest['manager']} at {newest.get('time', 'an unknown time')}" if newest else "by an unknown manager"
    release = shown(deployment, app)
    container = container_of(deployment["spec"]["template"], None)
    image = container["image"] if container else "nothing"
    return f"{who}: it runs " + (f"release {release[0]} again" if release else str(image)) + ", and that is left alone"
