"""Where the revisions of an app come from: the commits of a repository, or the images behind a tag.

Settings write it, the adapters of sources and builds read it; to the engine a tag is one more place
that has a tip.
"""

from __future__ import annotations

from noren.core.model import App

WATCHED = "docker://"  # what ``App.repo`` starts with where an image tag is watched instead of a repository


def watches_image(app: App) -> bool:
    """Whether a revision of the app is the digest of an image, and its builds are made elsewhere."""
    return app.repo.startswith(WATCHED)
