"""API keys: how one is made, recognised and found.

A key (``omni_catalogue.keyshape``) is a public id, 256 random bits and a checksum. Only HMAC-SHA256(pepper,
SHA-256(key)) is kept; looking that up tells a guesser nothing by its timing.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec
from omni_catalogue.keyshape import assembled
from omni_catalogue.rules import Rules
from omni_catalogue.scopes import ANY, ENDPOINTS, MANAGEMENT, Scopes
from omni_catalogue.snapshot import Price
from omni_catalogue.tags import MOST as MOST_TAGS
from omni_wire.errors import InvalidRequest
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.limits import ROLES, WINDOWS

ENTROPY_BYTES = 36
LOCAL_NAME = "local"
HINT = len("or-12345678")  # so much of a minted key may be shown: its public id

_ID = "api-"
_AN_ID = re.compile(rf"{_ID}[0-9a-f]{{8}}")


# Secrets of one key that are good at the same time, and the seconds for which an older one may be.
MOST_SECRETS = 5
MOST_OVERLAP = 90 * 86_400


class OlderSecret(msgspec.Struct, frozen=True):
    """A secret that a newer one has replaced: its HMAC, and when it ends (epoch seconds)."""

    digest: bytes
    until: int

    def __repr__(self) -> str:
        return f"OlderSecret(until={self.until})"


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the store keeps it. ``digest`` is the HMAC; limits of 0 are none; ``created`` in epoch seconds. ``team``
    and ``user`` are ids of whose it is, ``tags`` what its requests carry.
    ``unpriced``, ``assumed_price`` and ``unaffordable`` are as a ``Budget`` has them, ``when_away`` as a ``KeyPolicy``
    does. ``source`` is the file that a key was applied from, empty for one in the API's hands; ``is_shaped`` says that
    its secrets have the shape of ``keyshape``; of one with ``no_bodies`` nothing is ever kept."""

    id: str
    name: str
    role: str
    models: tuple[str, ...]
    requests_per_minute: int
    budget_nano_usd: int
    budget_window: str
    created: int
    hint: str
    digest: bytes
    organisation: str = "default"
    rules: Rules = Rules()
    scopes: Scopes = Scopes()
    older: tuple[OlderSecret, ...] = ()
    unpriced: str = "refuse"
    assumed_price: Price | None = None
    source: str = ""
    is_shaped: bool = True
    team: str | None = None
    user: str | None = None
    unaffordable: str = "clamp"
    tags: tuple[str, ...] = ()
    no_bodies: bool = False
    when_away: str = "closed"

    def __repr__(self) -> str:
        return f"StoredKey({self.id!r}, {self.name!r})"


def presented_digest(key: str) -> bytes:
    """What crosses process borders instead of a key: its SHA-256."""
    return hashlib.sha256(key.encode()).digest()


def stored_digest(pepper: bytes, key_digest: bytes) -> bytes:
    """What the store keeps and the index is keyed by."""
    return hmac.digest(pepper, key_digest, "sha256")


def file_key_id(name: str) -> str:
    """The id of a key of a configuration file: the same after every restart, and whether the file is the live one or
    was applied, so that usage and budget stay with it."""
    return f"key-{name}"


def mint(entropy: bytes, key_id: str = "") -> tuple[str, str]:
    """A key's id and the key itself, from ``ENTROPY_BYTES`` random bytes; a new secret where it has its id already."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"needs {ENTROPY_BYTES} random bytes")
    public = key_id.removeprefix(_ID) or entropy[:4].hex()
    return f"{_ID}{public}", assembled(public, entropy[4:])


def rotated(key: StoredKey, entropy: bytes, pepper: bytes, overlap: int, now: int) -> tuple[StoredKey, str]:
    """The key with a new secret, and that. Its older ones are good for ``overlap`` more seconds at most. What a file
    says of its secret holds no more: from now on it is in the API's hands.

    Raises ``InvalidRequest`` for an overlap that is none, and for too many secrets at once.
    """
    if not _is_whole(overlap, MOST_OVERLAP):
        raise InvalidRequest(f"overlap: must be from 0 to {MOST_OVERLAP} seconds", param="overlap")
    _, secret = mint(entropy, key.id if is_an_id(key.id) else "")
    ends = now + overlap
    secrets = (*key.older, OlderSecret(key.digest, ends))
    older = tuple(OlderSecret(one.digest, min(one.until, ends)) for one in secrets if min(one.until, ends) > now)
    if len(older) >= MOST_SECRETS:
        raise InvalidRequest(
            f"{MOST_SECRETS} secrets of this key are good already: wait until one ends, or end all older ones with an "
            "overlap of 0",
            param="overlap",
        )
    digest = stored_digest(pepper, presented_digest(secret))
    hint = secret[:HINT]
    return msgspec.structs.replace(key, digest=digest, older=older, hint=hint, source=""), secret


def is_an_id(name: str) -> bool:
    """Whether a name is what the id of a minted key looks like."""
    return _AN_ID.fullmatch(name) is not None


def check_new(
    *,
    name: str,
    role: str,
    models: Sequence[str],
    requests_per_minute: int,
    budget_nano_usd: int,
    budget_window: str,
    scopes: Scopes = ANY,
    now: int = 0,
    tags: Sequence[str] = (),
) -> None:
    """Raises ``InvalidRequest`` naming the field that is wrong. ``now`` in epoch seconds."""
    _check("name", scalars.name, name)
    _check("role", scalars.one_of(ROLES), role)
    _check("budget_window", scalars.one_of(WINDOWS), budget_window)
    if not models or isinstance(models, str):
        raise InvalidRequest("models: must have at least one pattern", param="models")
    for pattern in models:
        _check("models", scalars.pattern, pattern)
    if not _is_whole(requests_per_minute, 1_000_000_000):
        raise InvalidRequest(
            "requests_per_minute: must be from 0 (no limit) to 1000000000", param="requests_per_minute"
        )
    if not _is_whole(budget_nano_usd, scalars.MAX_USD * scalars.NANO):
        raise InvalidRequest(
            f"budget: must be from 0 (none) to {scalars.MAX_USD} USD, in whole nano-USD", param="budget"
        )
    _check_scopes(scopes, now)
    if len(tags) > MOST_TAGS:
        raise InvalidRequest(f"tags: at most {MOST_TAGS}", param="tags")
    for tag in tags:
        _check("tags", scalars.tag, tag)


def _check_scopes(scopes: Scopes, now: int) -> None:
    for field, reader in (
        ("providers", scalars.provider_pattern),
        ("endpoints", scalars.one_of(ENDPOINTS)),
        ("ips", scalars.network),
        ("management", scalars.one_of(MANAGEMENT)),
    ):
        for word in getattr(scopes, field):
            _check(field, reader, word)
    if not _is_whole(scopes.expires, scalars.MAX_TIME) or scopes.has_expired(now):
        raise InvalidRequest("expires: must be a time to come, or 0 for never", param="expires")


def _is_whole(number: object, most: int) -> bool:
    """A fraction or a NaN would get into the store, and no key could be read from it any more."""
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= most


def _check(field: str, reader: Callable[[object], str], value: str) -> None:
    try:
        reader(value)
    except PydanticCustomError as error:
        raise InvalidRequest(f"{field}: {error.message()}", param=field) from None


def refuse_taken(name: str, stored: Iterable[StoredKey], file_names: Collection[str]) -> None:
    """Raises ``InvalidRequest`` when a key of that name exists, or could be found by that id. ``stored`` are the keys
    of its organisation, and ``file_names`` those of the platform's file, for the platform alone: each organisation
    has its own names, and learns nothing of another's by trying them."""
    stored = tuple(stored)
    if is_an_id(name) or name in map(file_key_id, file_names) or any(key.id == name for key in stored):
        raise InvalidRequest(f"name: '{name}' is what a key's id looks like", param="name")
    if any(key.name == name for key in stored) or name in file_names:
        raise taken(name)


def taken(name: str) -> InvalidRequest:
    return InvalidRequest(f"there is a key called '{name}' already", param="name")


def find(key: str, stored: Iterable[StoredKey], file_names: Iterable[str], filename: str) -> StoredKey:
    """The stored key of that id or name. Raises ``InvalidRequest`` for none, for two, and for one of the file."""
    found = sorted((one for one in stored if key in (one.id, one.name)), key=lambda one: one.id != key)
    in_file = any(key in (name, file_key_id(name)) for name in file_names)
    if found and found[0].id == key:
        return found[0]
    if len(found) > 1:
        ids = " or ".join(f"{one.id} (of {one.organisation})" for one in found)
        raise InvalidRequest(f"{len(found)} keys are called '{key}': give the id, {ids}", param="key")
    if found and in_file:
        raise InvalidRequest(f"two keys are called '{key}', one of {filename}: give the id {found[0].id}", param="key")
    if found:
        return found[0]
    if in_file:
        raise _of_file(f"key '{key}' is managed by {filename}: take it out there")
    raise unknown(key)


def refuse_revoking(key: StoredKey, said: Iterable[str], filename: str) -> None:
    """Raises ``InvalidRequest`` for a key that was taken over from the live file and that this still says: revoked, it
    would count there again, with the secret that it has there. ``said`` are the names of all its keys."""
    if key.id in map(file_key_id, said):
        raise _of_file(
            f"key '{key.name}' is in {filename} as well, and what is said there would be good again: take it out there "
            f"first; 'omniroute keys rotate {key.name} --overlap 0' ends its secrets until then"
        )


def _of_file(told: str) -> InvalidRequest:
    return InvalidRequest(told, status=409, code="managed_by_file", param="key")


def unknown(key: str) -> InvalidRequest:
    return InvalidRequest(f"there is no key '{key}'", status=404, code="not_found", param="key")
