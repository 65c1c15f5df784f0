"""What a browser says of a request beside its body: whose page sent it, and which session it is of. Pure.

A cookie goes with whatever a browser sends, so a call that changes something counts only where our own page made it: by
``Sec-Fetch-Site`` or ``Origin``, which no page can forge, and by a token in a header that only our page can know, bound
to the session. Keys in headers need none of this.
"""

import hashlib
import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from omni_wire.errors import PermissionDenied

# Over https a name that no other host or path can set; without it a browser takes that for this machine only.
SECURE, PLAIN = "__Host-omniroute", "omniroute"
SECURE_FLOW, PLAIN_FLOW = "__Host-omniroute-flow", "omniroute-flow"  # of a log-in at a provider that is under way
TOKEN_HEADER = "x-omniroute-csrf"  # noqa: S105 - the name of a header
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_HOME = "/"


def csrf_token(session: str) -> str:
    """What a page of that session's sends along."""
    return hmac.digest(session.encode(), b"omniroute csrf 1", "sha256").hex()


def check_page(headers: Mapping[str, str]) -> None:
    """Raises ``PermissionDenied`` for a request that another site's page made. Programs say nothing of a page."""
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
    if site:
        own = site == "same-origin"
    else:
        own = not origin or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    if not own:
        raise PermissionDenied("this came from a page of another site", code="cross_site")


def check_call(headers: Mapping[str, str], session: str) -> None:
    """Raises ``PermissionDenied`` for a call that the page of ``session`` did not make."""
    check_page(headers)
    given = headers.get(TOKEN_HEADER, "")
    if not same(given, csrf_token(session)):
        raise PermissionDenied(f"the header {TOKEN_HEADER} is not that of this session", code="csrf")


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_secure(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether the browser came over https: it says so in Origin, whatever proxies are between. Raises
    ``PermissionDenied`` for neither that nor this machine: a session would be everybody's to read."""
    origin = headers.get("origin", "")
    if (urlsplit(origin).scheme if origin else scheme) == "https":
        return True
    # A proxy may have put its own name into Host; where the page is from the browser alone says.
    if not all(map(is_loopback, (headers.get("host", ""), urlsplit(origin).netloc if origin else "localhost"))):
        raise PermissionDenied(
            "logging in needs https, or a browser on the gateway's own machine: put a proxy with a certificate before "
            "it, or come through ssh -L 20128:127.0.0.1:20128",
            code="https_needed",
        )
    return False


def session_of(cookies: Mapping[str, str], host: str) -> str:
    """The session's token, "" without one. The name that anybody can set counts on this machine alone."""
    return cookies.get(SECURE, "") or (cookies.get(PLAIN, "") if is_loopback(host) else "")


def same(one: str, other: str) -> bool:
    return hmac.compare_digest(_hashed(one), _hashed(other))


def safe_next(path: str) -> str:
    """A path of our own, whatever was asked for: nobody is sent elsewhere from here."""
    parts = urlsplit(path)
    plain = path.isascii() and path.isprintable() and "\\" not in path and " " not in path
    if not plain or not path.startswith("/") or path.startswith("//") or parts.scheme or parts.netloc:
        return _HOME
    return path


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
