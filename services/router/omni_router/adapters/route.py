"""A provider's URL taken apart once, and the bytes of a POST to it."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from omni_catalogue.proxies import DIRECT, Egress
from omni_wire.errors import UpstreamUnreachable

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")  # RFC 9110, 5.6.2
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_MAX_TEMPLATES = 64


class Origin(NamedTuple):
    """Where connections can be shared. Guarded and unguarded ones never are: a guarded request must not ride on a
    connection to an address nobody checked; nor are those that took another ``way``."""

    tls: bool
    host: str
    port: int
    allow_private: bool
    way: Egress = DIRECT


class Route:
    """``POST`` to one URL. Header names come in few combinations, so the head around their values is made once."""

    __slots__ = ("_line", "_templates", "origin")

    def __init__(self, url: str, *, allow_private: bool, way: Egress = DIRECT) -> None:
        """Raises ``UpstreamUnreachable`` for what is no http or https URL."""
        origin, self._line = _take_apart(url, allow_private=allow_private)
        self.origin = origin._replace(way=way)
        self._templates: dict[tuple[str, ...], str] = {}

    def encode(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """Head and body. Raises ``UpstreamUnreachable`` when a header could break out of its line."""
        names = tuple(headers)
        template = self._templates.get(names)
        if template is None:
            template = self._template(names)
        values = headers.values()
        if not "".join(values).isprintable():  # no control character is, CR and LF least of all
            raise _unsendable()
        return (template % (*values, len(body))).encode() + body

    def _template(self, names: tuple[str, ...]) -> str:
        for name in names:
            if not name or not _TOKEN.issuperset(name) or name.lower() in _OURS:
                raise _unsendable()
        lines = [self._line, *(f"{name}: ".replace("%", "%%") + "%s" for name in names), "content-length: %d"]
        if len(self._templates) >= _MAX_TEMPLATES:
            self._templates.clear()
        made = self._templates[names] = "\r\n".join(lines) + "\r\n\r\n"
        return made


def _unsendable() -> UpstreamUnreachable:
    # The header is not named: its value may be a secret, and a name can be a value gone astray.
    return UpstreamUnreachable("a header of the request is not one that HTTP can carry", code="header_refused")


def _take_apart(url: str, *, allow_private: bool) -> tuple[Origin, str]:
    """The origin, and the request line with ``Host``, ready for ``%`` formatting."""
    try:
        parts = urlsplit(url)
        host, tls = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        host = host if host.isascii() else host.encode("idna").decode()
    except (ValueError, UnicodeError) as error:
        raise UpstreamUnreachable("the provider's URL is malformed") from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not host.isprintable():
        raise UpstreamUnreachable("the provider's URL is not one of http or https")
    if any(mark in host for mark in " /\\?#"):
        raise UpstreamUnreachable("the provider's URL is malformed")
    literal = f"[{host.partition('%')[0]}]" if ":" in host else host
    authority = literal if parts.port in (None, 443 if tls else 80) else f"{literal}:{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = quote(target, safe="%/:=&?~+!$,;'@()*[]")
    line = f"POST {target} HTTP/1.1\r\nhost: {authority}".replace("%", "%%")
    return Origin(tls, host, port, allow_private), line
