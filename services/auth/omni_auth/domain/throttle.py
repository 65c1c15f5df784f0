"""How fast anybody may guess: some tries are free, then each waits twice as long as the one before.

A try counts when it begins, so that a thousand at once are a thousand. What is counted is an account, an address, and
instead of the account a browser that it was logged in from before: who guesses elsewhere keeps nobody out of there.
"""

import hashlib
from ipaddress import IPv6Address, ip_address

import msgspec

FORGOTTEN = 3_600_000  # ms after which a subject begins anew
LONGEST = 900_000  # ms that a try waits at most
FREE = {"account": 5, "session": 5, "token": 20, "address": 30}
MOST = 20_000  # subjects that are kept; of more, the oldest go


class Tries(msgspec.Struct, frozen=True):
    """``count`` of a subject, the last at epoch ms ``at``."""

    count: int = 0
    at: int = 0


def account(organisation: str, name: str) -> str:
    """A subject's name tells nobody what was typed: it may have been a password."""
    return f"account:{_hashed(f'{organisation}/{name.casefold()}')}"


def session(digest: bytes) -> str:
    return f"session:{digest.hex()[:32]}"


def address(text: str) -> str:
    """An IPv6 network of 64 bits is one household's."""
    try:
        found = ip_address(text)
    except ValueError:
        return "address:-"
    if isinstance(found, IPv6Address):
        return f"address:{found.packed[:8].hex()}"
    return f"address:{found}"


def is_shared(subject: str) -> bool:
    """Whether many may be behind it."""
    return subject.startswith("address:")


def waits(subject: str, tries: Tries, now: int) -> int:
    """Milliseconds until the next try, 0 for none."""
    over = tries.count - FREE[subject.partition(":")[0]]
    if over < 0 or now - tries.at >= FORGOTTEN:
        return 0
    return max(0, tries.at + min(1_000 << min(over, 20), LONGEST) - now)


def tried(tries: Tries, now: int) -> Tries:
    """With one more."""
    return Tries(1 if now - tries.at >= FORGOTTEN else tries.count + 1, now)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
