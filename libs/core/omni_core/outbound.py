"""Every connection that goes out for an account: names looked up, addresses checked, and the way through a proxy.

The connection, or the tunnel, goes to the address that was checked; SNI and ``Host`` keep the name. Only a proxy that
``resolves: remote`` is told the name instead, and then what it stands for is the proxy's to judge.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from omni_catalogue.proxies import SYSTEM, Proxy, Trust
from omni_wire.errors import ProxyFailed, UpstreamTimeout, UpstreamUnreachable

from omni_core.addresses import Resolver
from omni_core.ids import new_id
from omni_core.outbound_handshake import Handshake, failed, handshake
from omni_core.outbound_health import ProxyHealth
from omni_core.outbound_trust import Contexts
from omni_core.outbound_tunnel import ProxyCut, Talk
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.redaction import keep_secret

Made = TypeVar("Made", bound=asyncio.Protocol)


class Secrets(Protocol):
    """Where users and passwords of proxies come from, "user:password" each."""

    async def secret(self, proxy: Proxy) -> str:
        """Raises ``CredentialUnavailable``."""
        ...

    def refused(self, proxy: Proxy) -> None:
        """The proxy did not take it: ask anew next time."""
        ...


class Credentials(Protocol):
    """As much of AuthPort as it takes."""

    async def credential(self, context: CallContext, account_id: str) -> Credential: ...


class AskedSecrets:
    """``Secrets`` for whoever connects seldom: auth is asked each time."""

    def __init__(self, auth: Credentials) -> None:
        self._auth = auth

    async def secret(self, proxy: Proxy) -> str:
        secret = (await self._auth.credential(CallContext(new_id()), proxy.id)).secret
        keep_secret(secret)
        return secret

    def refused(self, proxy: Proxy) -> None:
        """Nothing was kept."""


class Target(msgspec.Struct, frozen=True):
    """Whom to connect to; ``tls`` None is without. ``allow_private`` lets the address be a private one."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    allow_private: bool

    @property
    def server_name(self) -> str | None:
        """The certificate is the name's. A root dot is no part of a name in a certificate, nor is a zone."""
        return self.host.rstrip(".").partition("%")[0] if self.tls is not None else None


class Outbound:
    """``tls`` replaces the system's certificate authorities, where nothing else is said. Without ``secrets`` no proxy
    that wants a user can be used."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        secrets: Secrets | None = None,
        health: ProxyHealth | None = None,
    ) -> None:
        self.resolver = resolver or Resolver()
        self.health = health or ProxyHealth()
        self._contexts = Contexts(tls)
        self._secrets = secrets

    async def context(self, trust: Trust = SYSTEM) -> ssl.SSLContext:
        """Raises ``UpstreamUnreachable``."""
        return await self._contexts.of(trust)

    async def connect(
        self, make: Callable[[], Made], target: Target, within: float, via: Proxy | None = None
    ) -> tuple[asyncio.Transport, Made]:
        """A connection in at most ``within`` seconds. The addresses are tried in order, and one that stays silent
        leaves time for those after it.

        Raises ``UpstreamUnreachable``, ``UpstreamTimeout``, or ``ProxyFailed`` where the way does not open: then no
        other is tried.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        failure: Exception = TimeoutError()
        addresses: list[str] = []
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._addresses(target, via)
        except TimeoutError as error:
            failure = error
        for place, address in enumerate(addresses):
            now = loop.time()
            until = now + (deadline - now) / (len(addresses) - place)
            try:
                if via is None:
                    async with asyncio.timeout_at(until):
                        return await _straight(loop, make, target, address)
                transport = await self._tunnel(loop, target, address, via, until)
                async with asyncio.timeout_at(until):
                    return await _handed_over(loop, make, target, transport)
            except (OSError, UpstreamUnreachable) as error:  # TimeoutError and SSLError are OSErrors
                failure = error
        self.resolver.forget(target.host, target.port)
        if isinstance(failure, UpstreamUnreachable):
            raise failure
        way = "" if via is None else f" through the proxy {via.name}"
        if isinstance(failure, TimeoutError):
            raise UpstreamTimeout(f"no connection to the provider{way} in time") from failure
        raise UpstreamUnreachable(f"the provider cannot be reached{way} ({type(failure).__name__})") from failure

    async def _addresses(self, target: Target, via: Proxy | None) -> list[str]:
        if via is None or via.resolves == "here":
            return await self.resolver.resolve(target.host, target.port, allow_private=target.allow_private)
        self.resolver.check_literal(target.host, allow_private=target.allow_private)
        return [target.host.partition("%")[0]]

    async def _tunnel(
        self, loop: asyncio.AbstractEventLoop, target: Target, address: str, via: Proxy, until: float
    ) -> asyncio.Transport:
        """Whatever goes wrong here is the proxy's doing, but what it says itself of the target."""
        secret = ""
        if via.secret_version and self._secrets is not None:
            secret = await self._secrets.secret(via)
        with self.health.watched(via, target.host) as watched:
            try:
                async with asyncio.timeout_at(until):
                    transport, talk = await self._reached(loop, via)
                    watched.asked = True
                    return await _opened(transport, talk, handshake(via, secret, address, target.port))
            except TimeoutError as error:
                raise failed(via, "opened no tunnel in time", "timeout") from error
            except ProxyCut as error:
                raise failed(via, "closed the connection before the tunnel was open", "cut") from error
            except ssl.SSLError as error:
                raise failed(via, f"has no TLS that can be trusted ({type(error).__name__})", "tls") from error
            except OSError as error:
                raise failed(via, f"cannot be reached ({type(error).__name__})", "unreachable") from error
            except ProxyFailed as error:
                if error.code == "proxy_authentication" and self._secrets is not None:
                    self._secrets.refused(via)
                raise

    async def _reached(self, loop: asyncio.AbstractEventLoop, via: Proxy) -> tuple[asyncio.Transport, Talk]:
        try:
            tls = await self._contexts.of(via.trust) if via.kind == "https" else None
            hosts = await self.resolver.resolve(via.host, via.port, allow_private=via.allow_private)
        except UpstreamUnreachable as error:
            raise failed(via, f"cannot be used: {error.message}", "unusable") from error
        return await loop.create_connection(
            Talk, hosts[0], via.port, ssl=tls, server_hostname=via.host.rstrip(".") if tls is not None else None
        )


async def _opened(transport: asyncio.Transport, talk: Talk, said: Handshake) -> asyncio.Transport:
    try:
        await talk.follow(said)
    except BaseException:
        transport.abort()
        raise
    return transport


async def _straight(
    loop: asyncio.AbstractEventLoop, make: Callable[[], Made], target: Target, address: str
) -> tuple[asyncio.Transport, Made]:
    return await loop.create_connection(
        make,
        address,  # a literal: what was checked is what is connected to
        target.port,
        ssl=target.tls,
        server_hostname=target.server_name,
    )


async def _handed_over(
    loop: asyncio.AbstractEventLoop, make: Callable[[], Made], target: Target, transport: asyncio.Transport
) -> tuple[asyncio.Transport, Made]:
    """The open tunnel, as if it were a connection to the target."""
    protocol = make()
    upper: asyncio.Transport | None = transport
    try:
        if target.tls is None:
            transport.set_protocol(protocol)
        else:
            upper = await loop.start_tls(transport, protocol, target.tls, server_hostname=target.server_name)
    except BaseException:
        transport.abort()
        raise
    if upper is None:
        raise ConnectionAbortedError("it was closed meanwhile")
    protocol.connection_made(upper)
    upper.resume_reading()
    return upper, protocol
