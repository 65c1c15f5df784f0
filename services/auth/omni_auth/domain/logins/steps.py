"""The flows, as generators: each yields a call and is sent its answer, and returns what came of it.

    begun at a page:     authorize_url … exchanged(code) → identified → followed
    begun at a device:   device_begun → device_polled* → identified → followed
    later:               refreshed → (kept at once) → followed

Every one raises ``LoginRefused`` for a final no, ``LoginUnreadable`` for an answer that says nothing.
"""

from collections.abc import Generator, Mapping

import msgspec
from omni_catalogue.logins import Login

from omni_auth.domain.logins import reading
from omni_auth.domain.logins.calls import Asked, ClientId, challenge, get, to_device, to_endpoint, to_register
from omni_auth.domain.logins.deviations import DIALECTS, FOLLOWS
from omni_auth.domain.logins.tokens import Grant, LoginRefused, LoginUnreadable, Person, Tokens


class Answered(msgspec.Struct, frozen=True):
    """Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> reading.Document:
        return reading.document(self.status, self.headers, self.body)


class DeviceCode(msgspec.Struct, frozen=True):
    """``code`` is what is asked with, ``user_code`` what a person types at ``url``; ``interval`` and ``expires_in`` in
    seconds. ``client`` is who we were when we asked, where that was made up for it."""

    code: str
    user_code: str
    url: str
    url_complete: str = ""
    interval: float = 5.0
    expires_in: float = 300.0
    client: ClientId | None = None

    def __repr__(self) -> str:
        return "DeviceCode()"


class Pending(msgspec.Struct, frozen=True):
    """Nobody has said yes or no yet; ask again in so many seconds more than before."""

    slower: float = 0.0


Granting = Generator[Asked, Answered, Grant]
Keeping = Generator[Asked, Answered, Tokens]
Polling = Generator[Asked, Answered, "Grant | Pending"]
_SLOWER = 5.0  # seconds, of RFC 8628
_WAITING = {"authorization_pending": 0.0, "slow_down": _SLOWER, "AuthorizationPendingException": 0.0,
            "SlowDownException": _SLOWER}  # fmt: skip


def exchanged(
    login: Login,
    client: ClientId,
    code: str,
    state: str,
    verifier: str,
    redirect: str,
    parameters: Mapping[str, str],
    now_ms: int,
) -> Granting:
    """A code for tokens."""
    endpoint = login.token
    if endpoint is None or login.authorize is None:
        raise LoginRefused(f"{login.title} gives no tokens for a code")
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect,
        "code_verifier": verifier if login.authorize.pkce else "",
        "state": state if endpoint.sends_state else "",
    }
    answer = yield to_endpoint(endpoint, client, fields, parameters)
    return reading.grant(login, answer.document(), client.id, now_ms)


def device_begun(
    login: Login, client: ClientId, verifier: str, parameters: Mapping[str, str]
) -> Generator[Asked, Answered, DeviceCode]:
    device = login.device
    if device is None:
        raise LoginRefused(f"{login.title} has no codes for devices")
    made: ClientId | None = None
    if device.register:
        said = (yield to_register(device, parameters)).document()
        made = client = ClientId(reading.token(said, ("clientId",)), reading.token(said, ("clientSecret",)))
    fields = {"code_challenge": challenge(verifier), "code_challenge_method": "S256"} if device.pkce else {}
    found = (yield to_device(device, client, fields, parameters)).document()
    return _device_code(found, made)


def _device_code(found: reading.Document, made: ClientId | None) -> DeviceCode:
    """Of RFC 8628's names, AWS's and Kilo's."""

    def first(*names: str) -> str:
        return next((said for name in names if (said := reading.word(found, (name,)))), "")

    code = first("device_code", "deviceCode", "code")
    url = first("verification_uri", "verification_url", "verificationUri", "verificationUrl")
    if not code or not url.startswith(("https://", "http://")):
        raise LoginUnreadable("its answer has no code for a device, or no address to type it at")
    return DeviceCode(
        code,
        first("user_code", "userCode", "code"),
        reading.text(url),
        reading.text(first("verification_uri_complete", "verificationUriComplete")),
        min(reading.number(found.get("interval")) or 5.0, 60.0),
        min(reading.number(found.get("expires_in", found.get("expiresIn"))) or 300.0, 1_800.0),
        made,
    )


def device_polled(
    login: Login, client: ClientId, code: str, verifier: str, parameters: Mapping[str, str], now_ms: int
) -> Polling:
    """Whether somebody has said yes."""
    device = login.device
    if device is None:
        raise LoginRefused(f"{login.title} has no codes for devices")
    if login.dialect:
        asked = DIALECTS[login.dialect].asked(login, code)
        answer = yield asked
        if DIALECTS[login.dialect].pending(answer.status):
            return Pending()
        return reading.grant(login, answer.document(), client.id, now_ms)
    if login.token is None:
        raise LoginRefused(f"{login.title} gives no tokens for a device's code")
    fields = {"grant_type": device.grant, "device_code": code, "code_verifier": verifier if device.pkce else ""}
    answer = yield to_endpoint(login.token, client, fields, parameters)
    try:
        slower = _WAITING.get(reading.error_code(msgspec.json.decode(answer.body)))
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, RecursionError):
        slower = None
    if slower is not None:
        return Pending(slower)
    found = reading.grant(login, answer.document(), client.id, now_ms)
    if not device.register:
        return found
    # AWS takes a refresh token only from the client that it made for it.
    own = {**found.tokens.facts, "client_id": client.id, "client_secret": client.secret}
    return msgspec.structs.replace(found, tokens=msgspec.structs.replace(found.tokens, facts=own))


def identified(login: Login, found: Grant) -> Granting:
    """With what the provider says of whose tokens these are."""
    url = login.identity.userinfo
    if not url:
        return found
    said = (yield get(url, login.identity.userinfo_auth + found.tokens.access)).document()
    person = reading.person(login.identity, {"userinfo": said})
    return msgspec.structs.replace(found, person=person if person != Person() else found.person)


def refreshed(login: Login, client: ClientId, tokens: Tokens, now_ms: int) -> Keeping:
    """The next tokens. They have to be kept before anything else is done: the old refresh token may be worth nothing
    now."""
    endpoint = login.renews
    if endpoint is None or not tokens.refresh:
        raise LoginRefused("it has no refresh token", "no_refresh_token")
    if login.client.registered:
        client = ClientId(tokens.facts.get("client_id", ""), tokens.facts.get("client_secret", ""))
    fields = {"grant_type": "refresh_token", "refresh_token": tokens.refresh}
    answer = yield to_endpoint(endpoint, client, fields, tokens.parameters)
    return reading.renewed(login, tokens, answer.document(), now_ms)


def followed(login: Login, tokens: Tokens, now_ms: int) -> Keeping:
    """With what is asked for with fresh tokens."""
    if login.follow:
        tokens = yield from FOLLOWS[login.follow](login, tokens, now_ms)
    return msgspec.structs.replace(tokens, followed=True)
