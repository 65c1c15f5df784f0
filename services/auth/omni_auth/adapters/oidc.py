"""OpenID providers over HTTP: their discovery, their keys, and the exchange of a code. The ``Oidc`` port."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from omni_core.ports.people import OidcProvider
from omni_core.web import HttpWeb
from omni_wire.asked import Asked
from omni_wire.errors import GatewayError

from omni_auth.domain import oidc
from omni_auth.domain.oidc import Flow, Identified, Metadata
from omni_auth.domain.sections.logins import OidcSection

WITHIN = 5.0  # seconds, for each call
KEPT = 3_600_000  # ms for which a provider's discovery and keys are
AGAIN = 10_000  # ms after which keys are fetched again for one that is not among them

Providers = Callable[[], tuple[tuple[OidcSection, str], ...]]


class OidcLogins:
    """``providers`` are those of the configuration in force, each with its secret; ``now`` gives epoch ms."""

    def __init__(self, providers: Providers, web: HttpWeb, now: Callable[[], int]) -> None:
        self._providers, self._web, self._now = providers, web, now
        self._metadata: dict[str, tuple[int, Metadata]] = {}
        self._keys: dict[str, tuple[int, dict[str, Any]]] = {}

    def offered(self) -> tuple[OidcProvider, ...]:
        return tuple(OidcProvider(section.id, section.title or section.id) for section, _ in self._providers())

    def section(self, provider: str) -> OidcSection:
        """Raises ``Unauthenticated``."""
        return self._named(provider)[0]

    async def address(self, flow: Flow, state: str) -> str:
        """Where the browser goes to log in. Raises ``Unauthenticated``."""
        section, _ = self._named(flow.provider)
        return oidc.address(section, await self._discovered(section), flow, state)

    async def identified(self, flow: Flow, code: str) -> Identified:
        """Who brought that code. Raises ``Unauthenticated``, which says what is to be done."""
        section, secret = self._named(flow.provider)
        found = await self._discovered(section)
        token = await self._exchanged(section, secret, found, flow, code)
        try:
            said = oidc.claims(token, await self._keys_of(section, found, KEPT))
        except oidc.WrongKey:  # they may have changed them
            try:
                said = oidc.claims(token, await self._keys_of(section, found, AGAIN))
            except oidc.WrongKey:
                told = "its token is signed by nobody known: check the issuer, and that it signs with RS256 or ES256"
                raise oidc.refused(section.id, told) from None
        return oidc.identified(section, said, flow.nonce, self._now() // 1000)

    def _named(self, provider: str) -> tuple[OidcSection, str]:
        for section, secret in self._providers():
            if section.id == provider:
                return section, secret
        raise oidc.refused(provider, "there is no such provider in the configuration")

    async def _discovered(self, section: OidcSection) -> Metadata:
        at, found = self._metadata.get(section.issuer, (0, None))
        if found is None or self._now() - at > KEPT:
            body = await self._fetched(section, Asked("GET", section.issuer.removesuffix("/") + oidc.DISCOVERY))
            found = oidc.metadata(section, body)
            self._metadata[section.issuer] = self._now(), found
        return found

    async def _keys_of(self, section: OidcSection, found: Metadata, kept: int) -> dict[str, Any]:
        at, keys = self._keys.get(found.jwks_uri, (0, None))
        if keys is None or self._now() - at > kept:
            body = await self._fetched(section, Asked("GET", found.jwks_uri))
            try:
                keys = msgspec.json.decode(body, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise oidc.refused(section.id, f"{found.jwks_uri} has no keys in it") from None
            self._keys[found.jwks_uri] = self._now(), keys
        return keys

    async def _exchanged(self, section: OidcSection, secret: str, found: Metadata, flow: Flow, code: str) -> str:
        asked = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": flow.redirect,
            "code_verifier": flow.verifier,
        }  # fmt: skip
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if "client_secret_basic" in found.token_endpoint_auth_methods_supported:
            pair = f"{quote(section.client_id, safe='')}:{quote(secret, safe='')}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            asked |= {"client_id": section.client_id, "client_secret": secret}
        body = await self._fetched(section, Asked("POST", found.token_endpoint, headers, urlencode(asked).encode()))
        try:
            return msgspec.json.decode(body, type=_Tokens).id_token
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise oidc.refused(section.id, "it gave no id_token: ask it for the scope openid") from None

    async def _fetched(self, section: OidcSection, call: Asked) -> bytes:
        where = call.url.partition("?")[0]
        try:
            answer = await self._web.fetch(call, allow_private=section.allow_private_address, within=WITHIN)
        except GatewayError as error:
            raise oidc.refused(section.id, f"{where}: {error.message}") from None
        if answer.status != 200:
            hint = ": check client_id and client_secret" if call.method == "POST" else ""
            raise oidc.refused(section.id, f"{where} answered {answer.status}{hint}")
        return answer.body


class _Tokens(msgspec.Struct):
    id_token: str
