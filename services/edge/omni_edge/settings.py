"""The edge's tunables. What an organisation configures (key required, body size) is in the snapshot instead."""

from collections.abc import Mapping

import msgspec


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds.

    ``key_ttl`` bounds how old a decision on a key may be, so how long a revoked one lives on when its revocation did
    not reach us: half of it is what auth may be away for unnoticed. ``key_stale`` is how much longer a known key is
    believed while auth is away *and* the configuration feed is alive; not at all unless somebody asks for it, because
    of an auth that is away nobody hears of revocations. ``body_idle`` and ``body_total`` bound a slow upload,
    ``answer_idle`` is the guard against a router that never answers (the router's own, shorter, timeouts come first),
    ``write_stalled`` one against a client that does not read. A client's leaving is watched for once a request has
    taken ``watch_after``: most of the price of watching is in starting to, and a shorter request is over before it
    would matter.
    ``progress`` is between two events that tell a client how far its stream has come, where it asked to know.
    An answer that is not streamed is held until whole up to ``whole_answer_bytes``, so that a failure half way can
    still be told by status. ``linger`` and ``linger_bytes`` bound the reading of a refused body, without which a
    client that is still sending would see a reset instead of its answer. What is counted of clients is told to the
    other edges every ``share_every``.
    """

    key_cache_size: int = 10_000
    key_ttl: float = 30.0
    key_negative_ttl: float = 5.0
    key_stale: float = 0.0
    auth_timeout: float = 2.0
    models_timeout: float = 5.0
    body_idle: float = 30.0
    body_total: float = 300.0
    answer_idle: float = 3600.0
    write_stalled: float = 300.0
    keep_alive: float = 15.0
    progress: float = 2.0
    watch_after: float = 0.1
    whole_answer_bytes: int = 4 * 1024 * 1024
    linger: float = 10.0
    linger_bytes: int = 64 * 1024 * 1024
    configuration_wait: float = 5.0
    probe_interval: float = 5.0
    share_every: float = 1.0
    drain_timeout: float = 120.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "EdgeSettings":
        """``OMNIROUTE_EDGE_<FIELD>`` overrides a field. Raises ``ValueError`` naming the field that is no number."""
        given = {field: env.get(f"OMNIROUTE_EDGE_{field.upper()}") for field in cls.__struct_fields__}
        try:
            return msgspec.convert({field: text for field, text in given.items() if text}, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"OMNIROUTE_EDGE_*: {error}") from error
