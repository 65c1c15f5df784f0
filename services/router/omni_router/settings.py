"""Tunables of the router."""

from collections.abc import Mapping

import msgspec


class RouterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, but where a name says otherwise.

    ``hold_margin`` is added to the longest silence an attempt may have, so that a reservation outlives its attempt.
    From ``lease_from`` attempts a second on a key is admitted from slices of its limits that are leased to this
    router, 0 for never. A Redis that refuses connections is asked again for ``redis_refused_for`` until it is taken
    for away. ``recording_lease`` is how long a router that makes a recorded answer may be silent until another makes
    it, and ``recording_full_at`` the share of Redis' memory from which on no answer is kept.
    """

    credential_ttl: float = 60.0
    hold_margin: float = 30.0
    lease_from: int = 8
    redis_refused_for: float = 0.05
    retry_pause: float = 0.1
    new_key_wait: float = 1.0
    max_answer_bytes: int = 64 * 1024 * 1024
    max_error_bytes: int = 64 * 1024
    recording_lease: float = 10.0
    recording_full_at: float = 0.8

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "RouterSettings":
        """``OMNIROUTE_ROUTER_<FIELD>`` overrides a field. Raises ``ValueError`` naming the field that is no number."""
        given = {field: env.get(f"OMNIROUTE_ROUTER_{field.upper()}") for field in cls.__struct_fields__}
        try:
            return msgspec.convert({field: text for field, text in given.items() if text}, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"OMNIROUTE_ROUTER_*: {error}") from error
