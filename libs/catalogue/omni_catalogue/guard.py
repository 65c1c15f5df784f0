"""What a listener holds against those who come to it, as configured: addresses, hosts, origins, and how often."""

import msgspec

ALLOW, BLOCK = "allow", "block"
FORWARDED_FOR, FORWARDED = "x-forwarded-for", "forwarded"


class Ban(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network that is kept out until ``until`` (epoch seconds), 0 for ever. ``reason`` is for people, and never told
    to whoever is banned."""

    network: str
    until: int = 0
    reason: str = ""


class Addresses(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``mode`` "block" keeps those in ``networks`` out, "allow" everybody else."""

    mode: str = BLOCK
    networks: tuple[str, ...] = ()


class Guard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Per client address (an IPv6 one with all of its /64) or per key, 0 for no limit.

    ``requests`` and ``key_requests`` are in a minute, ``concurrent`` and ``key_concurrent`` at a time, ``connections``
    those open to one process. ``failures`` are wrong keys in a minute, after which no more are looked at.
    """

    requests: int = 0
    key_requests: int = 0
    concurrent: int = 0
    key_concurrent: int = 0
    connections: int = 0
    failures: int = 100


class Cors(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which pages of other origins a browser lets read answers: none without ``origins``. ``max_age`` in seconds."""

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    max_age: int = 600
    credentials: bool = False
