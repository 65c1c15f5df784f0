"""What people paste: the address that their browser ended at, or tokens of another program."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from omni_catalogue.logins import Login
from omni_wire.errors import InvalidRequest

from omni_auth.domain.logins import reading
from omni_auth.domain.logins.tokens import Grant, LoginRefused, LoginUnreadable, Tokens

MOST = 64 * 1024
# Where programs keep their tokens: what each calls them, in the order of what it may be taken for.
_ACCESS = ("access_token", "accessToken", "cursorAuth/accessToken", "token", "oauth_token")
_REFRESH = ("refresh_token", "refreshToken", "cursorAuth/refreshToken")
_IDS = ("id_token", "idToken")
_ENDS = ("expires_at", "expiresAt", "expiry_date", "expired", "expiry")
_WRAPPED = ("tokens", "claudeAiOauth", "data")


class Callback(msgspec.Struct, frozen=True):
    code: str
    state: str

    def __repr__(self) -> str:
        return "Callback()"


def callback(said: str) -> Callback:
    """Of a whole address, of ``code#state``, or of its query. Raises ``InvalidRequest``, ``LoginRefused`` for one that
    tells that the login was refused."""
    said = said.strip()
    if not said or len(said) > MOST:
        raise InvalidRequest("callback: paste the whole address that the browser ended at, or code#state")
    if "=" not in said:
        code, _, state = said.partition("#")
        return _complete(code, state)
    url = urlsplit(said)
    query = parse_qs(url.query or said.lstrip("?"))
    query = {**parse_qs(url.fragment), **query}
    first = {name: values[0] for name, values in query.items()}
    if error := reading.text(first.get("error")):
        why = reading.text(first.get("error_description"))
        raise LoginRefused(": ".join(part for part in ("the login was refused there", error, why) if part), error)
    code, _, behind = first.get("code", "").partition("#")
    return _complete(code, first.get("state", "") or behind)


def _complete(code: str, state: str) -> Callback:
    if not code or not state:
        missing = "a code" if not code else "a state"
        raise InvalidRequest(f"callback: it has not {missing}: paste the whole address, or code#state")
    if len(code) > reading.MOST_TOKEN or not code.isascii() or not code.isprintable():
        raise InvalidRequest("callback: its code is none")
    return Callback(code, state)


def imported(login: Login, said: str, client_id: str, parameters: Mapping[str, str], now_ms: int) -> Grant:
    """Tokens of another program: its file as JSON, or the token alone. Raises ``InvalidRequest``."""
    if len(said) > MOST:
        raise InvalidRequest(f"tokens: more than {MOST} bytes are no token file", param="tokens")
    try:
        document = msgspec.json.decode(said) if said.lstrip()[:1] in ("{", "[") else {"access_token": said.strip()}
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("tokens: it is not JSON", param="tokens") from None
    found = _unwrapped(document)
    answer = {
        **found,
        "access_token": _first(found, _ACCESS),
        "refresh_token": _first(found, _REFRESH),
        "id_token": _first(found, _IDS),
    }
    plain = msgspec.structs.replace(
        login.answer,
        access=("access_token",),
        refresh=("refresh_token",),
        id_token=("id_token",),
        expires_in=(),
        expires_at=("end",),
    )
    answer["end"] = _first(found, _ENDS)
    answer["data"] = {"userInfo": found.get("userInfo", {})}
    try:
        made = reading.grant(msgspec.structs.replace(login, answer=plain), answer, client_id, now_ms, fresh=False)
    except LoginUnreadable as error:
        raise InvalidRequest(f"tokens: {error}", param="tokens") from None
    if login.renews is not None and not made.tokens.refresh and not made.tokens.expires:
        raise InvalidRequest("tokens: it has no refresh_token, and does not say when it ends", param="tokens")
    own = {name: reading.word(found, (name,)) for name in ("clientId", "clientSecret", "profileArn")}
    kept = {"client_id": own["clientId"], "client_secret": own["clientSecret"], "profile_arn": own["profileArn"]}
    facts = {**made.tokens.facts, **{name: word for name, word in kept.items() if word}}
    tokens = msgspec.structs.replace(made.tokens, facts=facts, parameters=dict(parameters))
    return msgspec.structs.replace(made, tokens=_dated(tokens))


def _dated(tokens: Tokens) -> Tokens:
    """With the end that its access token tells of itself, where nothing else does."""
    end = reading.moment(reading.claims(tokens.access).get("exp"))
    return tokens if tokens.expires or not end else msgspec.structs.replace(tokens, expires=end)


def _unwrapped(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidRequest("tokens: it is not a JSON object", param="tokens")
    for name in _WRAPPED:
        inner = document.get(name)
        if isinstance(inner, dict) and _first(inner, _ACCESS):
            return {**document, **inner}
    return document


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((said for name in names if (said := found.get(name))), "")
