"""People who log in: what a login is, which names and passwords are taken, when a session has ended."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from itertools import pairwise

import msgspec
from omni_catalogue.roles import ROLES, SERVICE
from omni_wire.errors import InvalidRequest, Unauthenticated

from omni_auth.domain.common_passwords import COMMON

SECRET_BYTES = 32
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000  # in milliseconds
ABSOLUTE, IDLE = 12 * HOUR, 30 * MINUTE
SEEN_EVERY = MINUTE  # so exact is what is written of a session's use
REMEMBERED = 30 * DAY  # so long the browser of a session that ended is known
LIVES = {"setup": DAY, "invite": 7 * DAY, "reset": DAY}  # how long one-time tokens are good

SHORTEST, LONGEST = 12, 256
MOST_NAME = 200
_PADDING = "0123456789!?.-_@#$%&*+ "


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A person of an organisation, ``id`` and ``name`` those of the user that they are. ``password`` is an argon2id
    string, "" without one; ``subject`` who they are to an OpenID provider, ``granted`` the role that a group there gave
    them, "" for none; ``totp_step`` the last step a code was taken of, ``recovery`` SHA-256 of codes that are left.
    Times in epoch ms, 0 for never."""

    id: str
    organisation: str
    name: str
    role: str
    disabled: bool = False
    password: str = ""
    subject: str = ""
    granted: str = ""
    has_totp: bool = False
    totp_step: int = 0
    recovery: tuple[bytes, ...] = ()
    created: int = 0
    last_login: int = 0

    def __repr__(self) -> str:
        return f"Login({self.id!r}, {self.organisation!r}, {self.role!r})"

    @property
    def status(self) -> str:
        if self.disabled:
            return "disabled"
        return "active" if self.password or self.subject or self.role == SERVICE else "invited"

    @property
    def may_log_in(self) -> bool:
        return not self.disabled and self.role != SERVICE


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """``login`` is whose; ``ended`` in epoch ms as all times here, 0 for one that nobody ended."""

    id: str
    login: str
    created: int
    seen: int
    expires: int
    ended: int = 0
    address: str = ""
    agent: str = ""

    def is_live(self, now: int) -> bool:
        return not self.ended and now < self.expires and now - self.seen < IDLE


class OneTime(msgspec.Struct, frozen=True, kw_only=True):
    """What a one-time token is for: ``kind`` is of ``LIVES``, ``login`` whose it is, "" for the first owner's."""

    kind: str
    organisation: str
    expires: int
    login: str = ""
    name: str = ""


def secret(prefix: str, entropy: bytes) -> str:
    """A token from ``SECRET_BYTES`` random bytes; only its ``digest`` is kept."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"needs {SECRET_BYTES} random bytes")
    return f"{prefix}-{urlsafe_b64encode(entropy).decode().rstrip('=')}"


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_name(name: str) -> str:
    """Without what stands around it. Raises ``InvalidRequest``."""
    name = name.strip()
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise InvalidRequest(f"name: must be 1 to {MOST_NAME} printable characters", param="name")
    return name


def check_role(role: str) -> None:
    """Raises ``InvalidRequest``."""
    if role not in ROLES:
        raise InvalidRequest(f"role: must be one of {', '.join(ROLES)}", param="role")


def check_password(password: str, name: str) -> None:
    """Length and what everybody tries first are what counts; no rules on kinds of characters. Raises
    ``InvalidRequest``."""
    told = ""
    if len(password) < SHORTEST:
        told = f"must have at least {SHORTEST} characters"
    elif len(password) > LONGEST:
        told = f"must have at most {LONGEST} characters"
    elif _is_guessed(password.casefold(), name.casefold()):
        told = "is one of those that are tried first: take several words, or let a password manager make one"
    if told:
        raise InvalidRequest(f"password: {told}", param="password", code="weak_password")


def _is_guessed(password: str, name: str) -> bool:
    bare = password.strip(_PADDING)
    own = [part for part in (name, name.partition("@")[0]) if len(part) >= 3]
    rest = password
    for word in own:
        rest = rest.replace(word, "")
    return (
        bare in COMMON
        or password in COMMON
        or len(set(password)) < 5
        or any(password == word * (len(password) // len(word)) for word in COMMON if len(word) >= 3)
        or (len(rest.strip(_PADDING)) < 4 and rest != password)
        or _is_a_row(password)
    )


def _is_a_row(password: str) -> bool:
    """ "abcdefghijkl", "987654321098": each character follows the one before."""
    return len({_step(*pair) for pair in pairwise(password)}) == 1


def _step(before: str, after: str) -> int:
    step = ord(after) - ord(before)
    return step % 10 if before.isdigit() and after.isdigit() else step


def refused() -> Unauthenticated:
    """The same for a name that is not known, one that is locked out, and a password that is wrong."""
    return Unauthenticated("the name or the password is wrong", code="wrong_login")


def no_session() -> Unauthenticated:
    return Unauthenticated("you are not logged in, or your session has ended: log in again", code="session_ended")


def bad_token() -> Unauthenticated:
    return Unauthenticated(
        "this link was used already, has expired or was replaced: ask for another one", code="token_not_known"
    )


def unknown_person() -> InvalidRequest:
    return InvalidRequest("there is no such person", status=404, code="not_found", param="id")


def keep_an_owner(login: Login, logins: tuple[Login, ...], role: str = "", disabled: bool = True) -> None:
    """Raises ``InvalidRequest`` where an organisation would be left without anybody who may look after it."""
    if login.role != "owner" or login.disabled or (role == "owner" and not disabled):
        return
    if not any(other.role == "owner" and not other.disabled and other.id != login.id for other in logins):
        raise InvalidRequest(
            "this is the only owner: make somebody else an owner first", status=409, code="last_owner", param="role"
        )


def same(one: bytes, other: bytes) -> bool:
    return hmac.compare_digest(one, other)
