"""``noren install``: Noren as a systemd service of this host."""

from noren.install.carry_out import carry_out, shown
from noren.install.obstacles import check
from noren.install.steps import SETTINGS, steps

__all__ = ["SETTINGS", "carry_out", "check", "shown", "steps"]
