"""Tunables of the router."""

import msgspec


class RouterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, but where a name says otherwise.

    ``hold_margin`` is added to the longest silence an attempt may have, so that a reservation outlives its attempt.
    """

    credential_ttl: float = 60.0
    hold_margin: float = 30.0
    retry_pause: float = 0.1
    new_key_wait: float = 1.0
    max_answer_bytes: int = 64 * 1024 * 1024
    max_error_bytes: int = 64 * 1024
