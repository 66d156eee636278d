"""The Proxy port on HAProxy: routing, switching, counting and draining without ever reloading it."""

from noren.adapters.haproxy.binary import find_binary
from noren.adapters.haproxy.config import FEWEST_FILES, MOST_FILES
from noren.adapters.haproxy.lifetime import end_left, runs
from noren.adapters.haproxy.proxy import HAProxy

__all__ = ["FEWEST_FILES", "MOST_FILES", "HAProxy", "end_left", "find_binary", "runs"]
