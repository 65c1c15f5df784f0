"""The calls of a login: addresses, forms and headers."""

import base64
import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from omni_catalogue.logins import Device, Endpoint, Login
from omni_wire.asked import Asked as Asked
from omni_wire.errors import InvalidRequest

# RFC 7636: the verifier is of 43 characters at least.
VERIFIER_BYTES = 48
STATE_BYTES = 24


class ClientId(msgspec.Struct, frozen=True):
    """Who we say we are: an id, and a secret where there is one."""

    id: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return f"ClientId({self.id!r})"


def word_of(chance: bytes) -> str:
    """Text of random bytes that an address can carry."""
    return base64.urlsafe_b64encode(chance).decode().rstrip("=")


def challenge(verifier: str) -> str:
    return word_of(hashlib.sha256(verifier.encode()).digest())


def filled(template: str, parameters: Mapping[str, str]) -> str:
    for name, value in parameters.items():
        template = template.replace("{" + name + "}", value)
    return template


def authorize_url(
    login: Login, client: ClientId, redirect: str, state: str, verifier: str, parameters: Mapping[str, str]
) -> str:
    """The page that a person logs in at."""
    said = login.authorize
    if said is None:
        raise InvalidRequest(f"{login.title} has no page to log in at", param="flow")
    query = {"client_id": client.id, "response_type": "code"} if said.sends_client else {}
    query |= {said.redirect_name: redirect, "state": state}
    if said.scopes:
        query["scope"] = " ".join(said.scopes)
    if said.pkce:
        query |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    query |= {name: filled(value, parameters) for name, value in said.extra.items()}
    return f"{said.url}{'&' if '?' in said.url else '?'}{urlencode(query)}"


def to_endpoint(
    endpoint: Endpoint, client: ClientId, fields: Mapping[str, str], parameters: Mapping[str, str]
) -> Asked:
    """What asks for tokens."""
    said = {name: value for name, value in {**fields, **endpoint.extra}.items() if value}
    headers = {"accept": "application/json", **endpoint.headers}
    if endpoint.auth == "basic":
        pair = base64.b64encode(f"{client.id}:{client.secret}".encode()).decode()
        headers["authorization"] = f"Basic {pair}"
    if endpoint.auth in ("body", "basic"):
        said |= {"client_id": client.id}
        said |= {"client_secret": client.secret} if client.secret else {}
    return _post(filled(endpoint.url, parameters), endpoint.body, endpoint.camel, headers, said)


def to_device(device: Device, client: ClientId, fields: Mapping[str, object], parameters: Mapping[str, str]) -> Asked:
    """What asks for a device's code."""
    said: dict[str, object] = {"client_id": client.id} if client.id else {}
    if client.secret:
        said["client_secret"] = client.secret
    if device.scopes and not device.register:
        said["scope"] = " ".join(device.scopes)
    said |= {**fields, **{name: filled(value, parameters) for name, value in device.extra.items()}}
    headers = {"accept": "application/json", **device.headers}
    return _post(filled(device.url, parameters), device.body, device.camel, headers, said)


def to_register(device: Device, parameters: Mapping[str, str]) -> Asked:
    """What makes a client of us (RFC 7591, as AWS has it)."""
    said: dict[str, object] = {"client_name": "omniroute", "client_type": "public", "scopes": list(device.scopes)}
    headers = {"accept": "application/json", **device.headers}
    return _post(filled(device.register, parameters), device.body, device.camel, headers, said)


def get(url: str, authorization: str, **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    said = {"authorization": authorization} if authorization else {}
    return Asked("GET", url, {"accept": "application/json", **said, **named})


def post_json(url: str, authorization: str, body: object, **headers: str) -> Asked:
    asked = get(url, authorization, **headers)
    return Asked("POST", url, {"content-type": "application/json", **asked.headers}, msgspec.json.encode(body))


def _post(url: str, body: str, camel: bool, headers: Mapping[str, str], said: Mapping[str, object]) -> Asked:
    if camel:
        said = {_camel(name): value for name, value in said.items()}
    if body == "json":
        return Asked("POST", url, {**headers, "content-type": "application/json"}, msgspec.json.encode(said))
    form = urlencode({name: str(value) for name, value in said.items()}).encode()
    return Asked("POST", url, {**headers, "content-type": "application/x-www-form-urlencoded"}, form)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
