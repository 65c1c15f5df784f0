"""What servers answer, none of which can be trusted to be what it should be."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from omni_catalogue.logins import Answer, Identity, Login
from omni_wire.asked import line
from omni_wire.asked import number as number

from omni_auth.domain.logins.tokens import Grant, LoginRefused, LoginUnreadable, Person, Tokens

MOST_TOKEN = 16_384
_LONGEST = 400 * 86_400 * 1000
_EPOCH_MS = 1e11  # from here on a number of an epoch is of milliseconds
_LEEWAY = 300  # seconds that clocks may differ by
_TEXT = 200
# Words for which asking again is of no use: RFC 6749, RFC 8628, and what vendors say instead.
FINAL = frozenset(
    ("invalid_grant", "access_denied", "expired_token", "refresh_token_reused", "refresh_token_expired",
     "refresh_token_invalidated", "token_revoked", "bad_refresh_token", "app_session_terminated",
     "InvalidGrantException", "ExpiredTokenException", "AccessDeniedException")
)  # fmt: skip
_FRIENDLY = {
    "access_denied": "the login was refused there",
    "expired_token": "the code is over; begin anew",
    "ExpiredTokenException": "the code is over; begin anew",
    "invalid_grant": "it does not take the code or the token (any more)",
}

Document = Mapping[str, Any]


def document(status: int, headers: Mapping[str, str], body: bytes) -> Document:
    """The JSON object that it answered. Raises ``LoginRefused`` for a final no, ``LoginUnreadable`` for all else."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        kind = "a web page" if body.lstrip()[:1] == b"<" else "something that is not a JSON object"
        raise LoginUnreadable(f"it answered {kind} (HTTP {status})", wait=wait_told(headers))
    if code := error_code(found):
        told = text(found.get("error_description")) or text(found.get("message")) or _nested(found)
        message = ": ".join(part for part in (_FRIENDLY.get(code, "it refuses"), code, told) if part)
        if code in FINAL:
            raise LoginRefused(message, code)
        raise LoginUnreadable(message, wait=wait_told(headers))
    if status >= 300:
        raise LoginUnreadable(f"HTTP {status}", wait=wait_told(headers))
    return found


def error_code(found: Document) -> str:
    """The word for what went wrong; "" for nothing."""
    said = found.get("error")
    if isinstance(said, dict):
        return text(said.get("code")) or text(said.get("type")) or text(said.get("status")) or "error"
    return text(said) or text(found.get("__type")).rpartition("#")[2]


def _nested(found: Document) -> str:
    said = found.get("error")
    return text(said.get("message")) if isinstance(said, dict) else ""


def wait_told(headers: Mapping[str, str]) -> float:
    found = number(headers.get("retry-after"))
    return min(found, 86_400.0) if found is not None else 0.0


def text(value: object) -> str:
    """One line of it, of a bounded length; empty for anything else than a text."""
    return line(value, _TEXT)


def at(found: object, path: tuple[str, ...]) -> object:
    """What stands there; None for nothing."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if path else None


def word(found: object, path: tuple[str, ...]) -> str:
    """A text or a number that stands there, as a text."""
    said = at(found, path)
    if isinstance(said, int) and not isinstance(said, bool):
        return str(said)
    return said.strip() if isinstance(said, str) and len(said) <= MOST_TOKEN else ""


def token(found: object, path: tuple[str, ...]) -> str:
    """A text that a header can carry. Raises ``LoginUnreadable`` for one that none can."""
    said = at(found, path)
    if said is None or said == "":
        return ""
    if not isinstance(said, str) or len(said) > MOST_TOKEN or not said.isascii() or not said.isprintable():
        raise LoginUnreadable(f"its {'.'.join(path)} is no token")
    return said.strip()


def claims(jwt: str) -> Document:
    """What a token says of itself, as it came from its issuer's own address; no signature is looked at. Empty for one
    that is no JWT."""
    parts = jwt.split(".")
    if len(parts) != 3:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        found = msgspec.json.decode(raw)
    except (binascii.Error, ValueError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def believed(said: Document, identity: Identity, client_id: str, now_ms: int) -> Document:
    """The claims of an id token, once they are for us, of whom we asked and of now. Raises ``LoginUnreadable``."""
    if not identity.issuer or not said:
        return said
    issuer = text(said.get("iss"))
    if issuer.rstrip("/").removeprefix("https://") != identity.issuer.rstrip("/").removeprefix("https://"):
        raise LoginUnreadable(f"its id token is of another issuer ({issuer or 'none'}), not {identity.issuer}")
    audience = said.get("aud")
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise LoginUnreadable("its id token is for another client")
    ends = number(said.get("exp"))
    if ends is not None and ends + _LEEWAY < now_ms / 1000:
        raise LoginUnreadable("its id token is over already")
    return said


def moment(value: object) -> int:
    """Epoch ms of a date or an epoch in seconds or milliseconds; 0 where it is none."""
    said = number(value)
    if said is not None:
        return int(said if said >= _EPOCH_MS else said * 1000)
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip()[:40].replace("Z", "+00:00"))
            return int((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError, OSError):
            return 0
    return 0


def ends(found: Document, answer: Answer, now_ms: int) -> int:
    """When the access token of an answer is over, in epoch ms; 0 where it does not tell."""
    seconds = number(at(found, answer.expires_in))
    if seconds is not None and seconds > 0:
        return now_ms + int(min(seconds * 1000, _LONGEST))
    end = moment(at(found, answer.expires_at))
    return min(end, now_ms + _LONGEST) if end else 0


def grant(login: Login, found: Document, client_id: str, now_ms: int, *, fresh: bool = True) -> Grant:
    """What a token answer gives; one that is not ``fresh`` may have an id token that is over. Raises
    ``LoginUnreadable``."""
    answer = login.answer
    access = token(found, answer.access)
    if not access:
        raise LoginUnreadable(f"its answer has no {'.'.join(answer.access)}")
    said = believed(claims(token(found, answer.id_token)), login.identity, client_id, now_ms if fresh else 0)
    documents = {"answer": found, "id_token": said, "access": claims(access)}
    facts = {name: fact for name, path in answer.facts.items() if (fact := word(documents, path))}
    tokens = Tokens(access, token(found, answer.refresh), ends(found, answer, now_ms), facts)
    return Grant(tokens, person(login.identity, documents))


def person(identity: Identity, documents: Document) -> Person:
    parts = [word(documents, path) for path in identity.subject]
    label = next((text(found) for path in identity.label if (found := word(documents, path))), "")
    return Person("/".join(part for part in parts if part), label)


def renewed(login: Login, old: Tokens, found: Document, now_ms: int) -> Tokens:
    """``old`` after a refresh. What the answer does not say again stays: a refresh token that is not rotated, facts."""
    fresh = grant(msgspec.structs.replace(login, identity=Identity()), found, "", now_ms).tokens
    return msgspec.structs.replace(
        old,
        access=fresh.access,
        refresh=fresh.refresh or old.refresh,
        expires=fresh.expires,
        facts={**old.facts, **fresh.facts},
        followed=False,
    )
