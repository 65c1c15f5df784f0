"""What was installed: the files of the page and the version."""

import hashlib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from importlib.resources import files

from omni_dashboard.ports import Asset

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PATHS = {
    "/": "index.html",
    "/login": "login.html",
    "/account": "account.html",
    "/people": "people.html",
    "/static/app.css": "app.css",
    "/static/app.js": "app.js",
    "/static/people.js": "people.js",
    "/static/live.js": "live.js",
    "/static/icon.svg": "icon.svg",
    "/favicon.ico": "icon.svg",
}


def assets() -> dict[str, Asset]:
    """The page's files by path. Raises ``FileNotFoundError`` when the installation is not whole."""
    return {path: _asset(name) for path, name in PATHS.items()}


def version() -> str:
    """Of the distribution; "unknown" when it runs from a folder that was never installed."""
    try:
        return installed_version("omniroute")
    except PackageNotFoundError:
        return "unknown"


def _asset(name: str) -> Asset:
    body = (files("omni_dashboard") / "static" / name).read_bytes()
    return Asset(body, _TYPES[name.rsplit(".", 1)[1]], f'"{hashlib.sha256(body).hexdigest()[:20]}"')
