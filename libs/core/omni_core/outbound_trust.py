"""TLS contexts by whom they trust, made anew when a file has changed."""

import asyncio
import os
import ssl
from pathlib import Path

from omni_catalogue.proxies import Trust
from omni_wire.errors import UpstreamUnreachable

_Stamp = tuple[tuple[int, int, int], ...]


class Contexts:
    """``tls`` replaces the system's certificate authorities."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._given = tls
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])
        self._made: dict[Trust, tuple[_Stamp, ssl.SSLContext]] = {}

    async def of(self, trust: Trust) -> ssl.SSLContext:
        """Looks at the files each time, as a connection is made seldom. Raises ``UpstreamUnreachable`` (code
        "tls_files") naming the file that cannot be used: who trusts too few is better off than who trusts anybody."""
        if trust == Trust() and self._given is not None:
            return self._given
        stamp = tuple(_stamp(path) for path in _paths(trust))
        known = self._made.get(trust)
        if known is not None and known[0] == stamp:
            return known[1]
        context = await asyncio.to_thread(_context, trust)
        self._made[trust] = stamp, context
        return context


def _paths(trust: Trust) -> tuple[str, ...]:
    return (*trust.ca_files, *filter(None, (trust.client_certificate, trust.client_key)))


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unusable(path, error) from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    for path in trust.ca_files:
        try:
            context.load_verify_locations(cadata=Path(path).read_text())
        except (OSError, ValueError) as error:  # SSLError is an OSError; what is no text is a ValueError
            raise _unusable(path, error) from error
    if trust.client_certificate:
        try:
            # With a password, so that a key that wants one is not asked for at a terminal.
            context.load_cert_chain(trust.client_certificate, trust.client_key or None, password="")
        except (OSError, ValueError) as error:
            raise _unusable(trust.client_certificate, error) from error
    return context


def _unusable(path: str, error: Exception) -> UpstreamUnreachable:
    return UpstreamUnreachable(f"the file {path} cannot be used for TLS ({type(error).__name__})", code="tls_files")
