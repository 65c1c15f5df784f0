"""What Cursor's own client says of itself in headers, for an account that asks to look like it.

Cursor documents nothing: the names and the checksum are as several public clients of it have them, read 2026-11-29. The
checksum proves nothing about a call; it is the machine's id behind the time, in steps of 1,000 seconds, thinly veiled.
"""

import base64
from collections.abc import Mapping

from omni_catalogue.snapshot import Account

_STEP = 1000  # seconds
_SEED = 165


def bearer(secret: str, account: Account | None, now: int) -> Mapping[str, str]:
    """The credential, and for an account of that identity what stands with it. ``now`` in epoch seconds."""
    headers = {"authorization": f"Bearer {secret}"}
    if account is not None and account.identity == "cursor":
        headers["user-agent"] = "connect-es/1.6.1"
        headers["x-cursor-client-version"] = account.client_version
        headers["x-cursor-client-type"] = "ide"
        headers["x-cursor-checksum"] = checksum(account.machine_id, now)
    return headers


def checksum(machine_id: str, now: int) -> str:
    step = now // _STEP
    # The client shifts by 40, 32, 24 … bits, and its numbers have 32: so the last two bytes come first as well.
    veiled, last = bytearray(), _SEED
    for place, shift in enumerate((8, 0, 24, 16, 8, 0)):
        last = ((step >> shift & 0xFF) ^ last) + place & 0xFF
        veiled.append(last)
    return base64.urlsafe_b64encode(veiled).decode() + machine_id
