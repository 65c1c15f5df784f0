"""Tunables of the dashboard."""

from collections.abc import Mapping

import msgspec
from omni_core.ports.analytics import REPRICE_TIMEOUT
from omni_core.ports.configuration import APPLY_TIMEOUT
from omni_core.ports.quota import REFRESH_TIMEOUT
from omni_wire.errors import InvalidRequest


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in bytes.

    ``endpoint`` is the base URL clients use for models, shown on the page; empty means the page's own origin. The
    books are looked at ``reconcile_every``, never where that is 0. ``max_file_bytes`` bounds a configuration file
    that is applied, ``max_body_bytes`` every other body. An identity is trusted for ``identity_ttl`` after auth
    named it, so a key revoked elsewhere ends that much later.
    """

    endpoint: str = ""
    identity_ttl: float = 5.0
    identity_entries: int = 1024
    call_timeout: float = 5.0
    apply_timeout: float = APPLY_TIMEOUT
    query_timeout: float = 10.0
    reprice_timeout: float = REPRICE_TIMEOUT
    reconcile_every: float = 300.0
    refresh_timeout: float = REFRESH_TIMEOUT
    login_timeout: float = 12.0
    test_timeout: float = 30.0
    provider_timeout: float = 25.0
    probe_interval: float = 10.0
    probe_timeout: float = 2.0
    max_body_bytes: int = 64 * 1024
    max_file_bytes: int = 1024 * 1024
    max_groups: int = 1000

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "DashboardSettings":
        """Read ``OMNIROUTE_PUBLIC_URL`` ("https://ai.example.org/v1") and ``OMNIROUTE_RECONCILE_SECONDS``.
        Raises ``InvalidRequest``."""
        every = env.get("OMNIROUTE_RECONCILE_SECONDS", "").strip()
        if every and not (every.isascii() and every.isdigit() and (every == "0" or 10 <= int(every) <= 86_400)):
            raise InvalidRequest("OMNIROUTE_RECONCILE_SECONDS must be from 10 to 86400, or 0 for never")
        found = cls(endpoint=env.get("OMNIROUTE_PUBLIC_URL", "").strip())
        return msgspec.structs.replace(found, reconcile_every=float(every)) if every else found
