"""Request targets that try to read what is outside of a site or hidden in it, spelled in every way we know.

Sent to Caddy itself by ``test_caddy`` and through the public listener by the proofs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

CANARY = "canary-7c1f"
UPS = (
    "../",
    "%2e%2e/",
    "%2E%2e%2f",
    "..%2f",
    "..%5c",
    "..\\",
    "%252e%252e%252f",
    "..%252f",
    "%c0%ae%c0%ae/",
    "..%c0%af",
    "%uff0e%uff0e/",
    "....//",
    "..;/",
    ".%00./",
    "..%00/",
    "%2e./",
    ".%2e/",
    "..%ef%bc%8f",
    "..//",
    "./../",
    "%e0%80%ae%e0%80%ae/",
    "..%01/",
    "..\t/",
    "..%20/",
)
OUTSIDE = ("outside.txt", "web-420/tree/index.html", "web-42/boot", "caddy/caddy.json", "build/.env", "etc/passwd")
HIDDEN = (".env", ".git/config", "docs/.secret", ".well-known/.env", "index.html.noren-etag", "docs/.hidden/page.html")


def traversals() -> set[bytes]:
    found = {
        prefix + up * depth + name for prefix, up, depth, name in product(("/", "/docs/"), UPS, (1, 3, 8), OUTSIDE)
    }
    found |= {f"/{up}tree/{name}" for up, name in product(UPS, HIDDEN)}
    found |= {spell(name) for name in HIDDEN for spell in SPELLINGS}
    found |= {f"{host}/../outside.txt" for host in ("http://web-42.id.noren", "//web-420.id.noren", "/.", "/..")}
    return {target.encode() for target in found} | {b"/\x00", b"/..\x00/outside.txt", b"/\xff\xfe", b"/.env\x00.html"}


SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda name: f"/{name}",
    lambda name: f"//{name}",
    lambda name: f"/./{name}",
    lambda name: f"/docs/../{name}",
    lambda name: f"/{name}/",
    lambda name: f"/{name}%00",
    lambda name: f"/{name}%00.html",
    lambda name: f"/{name}%20",
    lambda name: "/" + name.replace(".", "%2e"),
    lambda name: "/" + name.replace(".", "%252e"),
    lambda name: "/" + name.replace("/", "%2f"),
    lambda name: "/" + name.replace("/", "\\"),
    lambda name: "/" + "".join(f"%{ord(character):02x}" for character in name),
    lambda name: f"/{name.upper()}",
    lambda name: f"/{name};x=.html",
    lambda name: f"/{name}?x=index.html",
)
