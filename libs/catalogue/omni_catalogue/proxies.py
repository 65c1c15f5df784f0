"""How calls go out for an account: through which proxy, and whom TLS trusts.

A proxy is said at three levels, ``global``, ``provider`` and ``account``; the most specific word holds.
"""

import msgspec

KINDS = ("http", "https", "socks5")
# Who looks up the name of whom a tunnel leads to: this machine, which checks its addresses, or the proxy.
RESOLVES = ("here", "remote")
LEVELS = ("account", "provider", "global")
# What becomes of a call whose proxy is broken: it fails, goes out without one, or through that of the next level.
FALLBACKS = ("fail", "direct", "next")

PREFIX = "proxy:"  # no account's id has a colon before its slash


class Trust(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Paths of PEM files: certificate authorities besides the system's, and the certificate that is shown to who asks
    for one, with its key (both or neither)."""

    ca_files: tuple[str, ...] = ()
    client_certificate: str = ""
    client_key: str = ""


SYSTEM = Trust()


class Proxy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``secret_version`` is empty for one that asks for no user; its secret is "user:password", had from auth as an
    account's under ``id``. ``kind`` is one of ``KINDS``, ``resolves`` one of ``RESOLVES``. ``allow_private`` lets its
    own address be a private one; ``trust`` is for TLS with the proxy itself."""

    name: str
    kind: str
    host: str
    port: int
    secret_version: str = ""
    resolves: str = "here"
    allow_private: bool = False
    trust: Trust = SYSTEM

    @property
    def id(self) -> str:
        return PREFIX + self.name


class Egress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way out. ``proxy`` None is none, ``level`` the one of ``LEVELS`` that said so, "" where nobody did."""

    proxy: Proxy | None = None
    level: str = ""
    trust: Trust = SYSTEM


DIRECT = Egress()
