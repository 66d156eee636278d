"""What a request to the API server can come to.

Raised by ``api``, understood by its neighbours; whoever meets it as a port sees an OutsideError.
"""

from __future__ import annotations

from noren.core.errors import OutsideError

AWAY = 0  # the status of no answer at all


class ApiFault(OutsideError):
    """The API server refused or did not answer; ``status`` is HTTP's, or AWAY."""

    def __init__(self, what: str, status: int, *, seen: str = "", hint: str = "") -> None:
        super().__init__(what, seen=seen, hint=hint)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in (AWAY, 401, 408, 409, 410, 429) or self.status >= 500


HINTS = {
    401: "renew the token or certificate of the kubeconfig",
    403: "grant it: deploy/kubernetes has the Role that Noren needs",
}
