"""OpenID Connect: the code flow with PKCE, and what a token must say before anybody is let in by it. Pure.

https://openid.net/specs/openid-connect-core-1_0.html sections 3.1.2.1, 3.1.3.7; RFC 7636; RFC 9207.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from omni_wire.errors import Unauthenticated

from omni_auth.domain.sections.logins import OidcSection

CALLBACK = "/api/session/oidc/callback"
DISCOVERY = "/.well-known/openid-configuration"
LASTS = 600_000  # ms in which a log-in at a provider must be done
LEEWAY = 60  # seconds that two clocks may be apart
# Of public keys alone: with "none" or a shared secret anybody could sign.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Flow(msgspec.Struct, frozen=True):
    """A log-in that is under way. ``redirect`` is where the provider sends the browser back to, ``next`` where that
    goes on."""

    provider: str
    nonce: str
    verifier: str
    redirect: str
    next: str

    def __repr__(self) -> str:
        return f"Flow({self.provider!r})"


class Metadata(msgspec.Struct, frozen=True):
    """Of a provider's discovery."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Identified(msgspec.Struct, frozen=True):
    """Who a provider says somebody is. ``subject`` is theirs for good, ``email`` only counts where it is verified."""

    provider: str
    subject: str
    email: str
    groups: tuple[str, ...] = ()


class WrongKey(ValueError):
    """No key that is known signed it: there may be a newer one."""


def refused(provider: str, why: str) -> Unauthenticated:
    return Unauthenticated(f"log-in with '{provider}' was refused: {why}", code="oidc_refused")


def address(section: OidcSection, found: Metadata, flow: Flow, state: str) -> str:
    """Where the browser goes to log in."""
    challenge = urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code", "client_id": section.client_id, "redirect_uri": flow.redirect,
        "scope": " ".join(section.scopes), "state": state, "nonce": flow.nonce,
        "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    joint = "&" if "?" in found.authorization_endpoint else "?"
    return f"{found.authorization_endpoint}{joint}{urlencode(asked)}"


def metadata(section: OidcSection, body: bytes) -> Metadata:
    """Raises ``Unauthenticated`` for what is no discovery, or another provider's."""
    try:
        found = msgspec.json.decode(body, type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise refused(section.id, f"{section.issuer}{DISCOVERY} is not an OpenID discovery: check its issuer") from None
    if found.issuer != section.issuer:
        told = f"it calls itself {found.issuer!r}, and the configuration {section.issuer!r}: make them the same"
        raise refused(section.id, told)
    return found


def claims(token: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """What a token says that one of ``keys`` (a JWKS) has signed. Raises ``WrongKey``."""
    try:
        known = KeySet.import_key_set({"keys": list(keys.get("keys", ()))})
        found = jwt.decode(token, known, algorithms=ALGORITHMS)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise WrongKey from None
    return dict(found.claims)


def identified(section: OidcSection, said: Mapping[str, Any], nonce: str, now: int) -> Identified:
    """``now`` in epoch seconds. Raises ``Unauthenticated``, which says what is to be done."""
    audience = said.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    subject, given = said.get("sub"), said.get("nonce")
    if said.get("iss") != section.issuer:
        raise refused(section.id, f"its token is of another issuer than {section.issuer!r}: check the configuration")
    if section.client_id not in audiences or (len(audiences) > 1 and said.get("azp") != section.client_id):
        raise refused(section.id, "its token is for another client: check client_id here and there")
    if not _is_number(said.get("exp")) or now - LEEWAY >= said["exp"]:
        raise refused(section.id, "its token has expired: try again, and look at the clocks of both if that stays")
    if not _is_number(said.get("iat")) or said["iat"] > now + LEEWAY:
        raise refused(section.id, "its token is of the future: look at the clocks of both")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise refused(section.id, "its token is not of this log-in: begin again from the log-in page")
    if not isinstance(subject, str) or not subject or len(subject) > 255:
        raise refused(section.id, "its token does not say who somebody is")
    email = said.get("email")
    known = isinstance(email, str) and said.get("email_verified") in (True, "true")
    groups = said.get(section.groups_claim)
    return Identified(
        section.id,
        subject_of(section.issuer, subject),
        str(email).strip().lower() if known else "",
        tuple(one for one in groups if isinstance(one, str)) if isinstance(groups, list) else (),
    )


def subject_of(issuer: str, subject: str) -> str:
    """One word for both; no two pairs have the same."""
    return msgspec.json.encode([issuer, subject]).decode()


def check_domain(section: OidcSection, email: str) -> None:
    """Raises ``Unauthenticated``."""
    allowed = [domain.lower() for domain in section.allowed_domains]
    if allowed and email.rpartition("@")[2] not in allowed:
        told = f"only addresses of {', '.join(allowed)} that it has verified are let in"
        raise refused(section.id, told)


def role_of(section: OidcSection, groups: tuple[str, ...]) -> str:
    """By the first line that names one of somebody's groups; "" for none."""
    return next((line.role for line in section.roles if line.group in groups), "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
