"""The one configuration of Caddy: it serves every site of every app and never changes while Caddy runs.

Used by caddy.py. A site is found by the host ``<label>.gz.noren``, ``<label>.zst.noren`` or
``<label>.id.noren`` that HAProxy sets; what differs between sites lies in the site's folder:

    sites/<label>/tree/                  what is served, each file with its ETag beside (site_tree.py)
    sites/<label>/clean -> tree          only with clean URLs
    sites/<label>/pages/not_found.html   only when the site has one
    sites/<label>/pages/fallback.html    only for single-page apps
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOG = "caddy.log"
ETAG_SUFFIX = ".noren-etag"
_HOST = r"^([a-z0-9][a-z0-9-]*)\.(gz|zst|id)\.noren$"
_LABEL = "{http.regexp.site.1}"
_PATH = "{http.request.uri.path}"
# "..", hidden names, NUL and other control characters, backslashes: as decoded.
_REFUSED_PATH = r"/\.|[\x00-\x1f\x7f\\]"
# RFC 8615: the one hidden folder that is meant for the public, without hidden names inside.
_WELL_KNOWN = r"^/\.well-known(/[^./\x00-\x1f\x7f\\][^/\x00-\x1f\x7f\\]*)*/?$"
# An encoded slash, backslash or NUL, as sent: it is none in the decoded path's meaning of folders.
_REFUSED_URI = r"(?i)^[^?]*%(2f|5c|00)"

Json = dict[str, Any]


def config(folder: Path, sites: Path) -> str:
    """Caddy's JSON: listener on descriptor 0, logs of errors in ``folder``, sites below ``sites``."""
    server: Json = {
        "listen": ["fd/0"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "read_header_timeout": "10s",
        "routes": [
            {"match": [_regexp("Host", "site", _HOST)], "handle": [_subroute(_site(sites / _LABEL))]},
            {"handle": [{"handler": "error", "status_code": 404}]},
        ],
        "errors": {"routes": _errors(sites / _LABEL)},
    }
    return json.dumps(
        {
            "admin": {"disabled": True, "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "ERROR", "writer": _log(folder / LOG)}}},
            "apps": {"http": {"grace_period": "2s", "servers": {"sites": server}}},
        },
        indent=1,
    )


def _log(path: Path) -> Json:
    return {"output": "file", "filename": str(path), "mode": "0600", "roll_size_mb": 1, "roll_keep": 1}


def _site(site: Path) -> list[Json]:
    not_found = {"handler": "error", "status_code": 404}
    return [
        # Times say nothing here: two builds of one commit agree in them, and a rollback goes back in them.
        {"handle": [_request_without("If-Modified-Since", "If-Unmodified-Since"), *_RESPONSE_HEADERS]},
        {"match": [{"not": [{"method": ["GET", "HEAD"]}]}], "handle": [_METHOD_NOT_ALLOWED], "terminal": True},
        {"match": [_regexp("If-None-Match", "known", r'^("[^"]+")$')], "handle": [_KNOWN_ETAG]},
        _ENCODE,
        {"match": _REFUSED, "handle": [not_found]},
        _file(site / "tree", _PATH),
        _file(site / "clean", _PATH + ".html"),
        {"handle": [_files(site / "tree", pass_thru=True)]},
        _file(site / "pages", "/fallback.html", canonical_uris=False),
        {"handle": [not_found]},
    ]


def _errors(site: Path) -> list[Json]:
    """Missing, hidden and outside look the same; only faults of the server are told apart."""
    page = _file(site / "pages", "/not_found.html", canonical_uris=False, status_code="404")
    conditions = ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    missing: list[Json] = [
        {"handle": [_request_without(*conditions), _response(delete=["Etag", "Last-Modified", "Server"])]},
        _ENCODE,
        page,
        {"handle": [{"handler": "static_response", "status_code": 404, "body": "404 Not Found\n"}]},
    ]
    return [
        {
            "match": [{"vars_regexp": {"{http.error.status_code}": {"pattern": "^4"}}}],
            "handle": [_subroute(missing)],
            "terminal": True,
        },
        {"handle": [{"handler": "static_response", "status_code": "{http.error.status_code}"}]},
    ]


def _file(root: Path, path: str, **options: object) -> Json:
    """Serves ``path`` below ``root`` when it is a file, else leaves the request to the next route."""
    found = {"handler": "rewrite", "uri": "{http.matchers.file.relative}"}
    handle = [found, _files(root, **options)] if path != _PATH else [_files(root, **options)]
    return {"match": [{"file": {"root": str(root), "try_files": [path]}}], "handle": handle, "terminal": True}


def _files(root: Path, **options: object) -> Json:
    return {
        "handler": "file_server",
        "root": str(root),
        "index_names": ["index.html"],
        "etag_file_extensions": [ETAG_SUFFIX],
        "hide": ["*" + ETAG_SUFFIX],
        **options,
    }


def _subroute(routes: list[Json]) -> Json:
    return {"handler": "subroute", "routes": routes}


def _regexp(header: str, name: str, pattern: str) -> Json:
    return {"header_regexp": {header: {"name": name, "pattern": pattern}}}


def _request_without(*names: str) -> Json:
    return {"handler": "headers", "request": {"delete": list(names)}}


def _response(**change: object) -> Json:
    return {"handler": "headers", "response": {"deferred": True, **change}}


_METHOD_NOT_ALLOWED: Json = {"handler": "static_response", "status_code": 405, "headers": {"Allow": ["GET, HEAD"]}}

# The long life is for HAProxy's cache, which stores what says so and rewrites the header towards clients.
_RESPONSE_HEADERS: list[Json] = [
    _response(delete=["Last-Modified", "Server"]),
    _response(require={"status_code": [200]}, set={"Cache-Control": ["public, max-age=31536000"]}),
    # A permanent redirect is kept for ever, but the next release may have another page there.
    _response(require={"status_code": [308]}, set={"Cache-Control": ["no-cache"]}),
]

# Caddy takes "-gzip" off the tag that the client knows, and leaves it off in the 304: say the known one again.
_KNOWN_ETAG = _response(require={"status_code": [304]}, set={"Etag": ["{http.regexp.known.1}"]})

# zstd at its fastest: 4 MB less for Caddy, and still about as small as gzip.
# A part of a file is never encoded: its Content-Range counts the bytes of the file. Nor is the answer
# to HEAD: Caddy would give the length of an empty body.
_ENCODE: Json = {
    "match": [
        {
            "method": ["GET"],
            "header_regexp": {"Host": {"pattern": r"\.(gz|zst)\.noren$"}},
            "not": [{"header": {"Range": ["*"]}}],
        },
    ],
    "handle": [
        {"handler": "encode", "encodings": {"gzip": {}, "zstd": {"level": "fastest"}}, "prefer": ["zstd", "gzip"]}
    ],
}

_REFUSED: list[Json] = [
    {
        "vars_regexp": {_PATH: {"pattern": _REFUSED_PATH}},
        "not": [{"vars_regexp": {_PATH: {"pattern": _WELL_KNOWN}}}],
    },
    {"vars_regexp": {"{http.request.orig_uri}": {"pattern": _REFUSED_URI}}},
]
