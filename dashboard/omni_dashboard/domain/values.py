"""Times and money between people and the ports."""

from datetime import UTC, datetime
from decimal import Decimal

from omni_wire.errors import InvalidRequest

NANO = 10**9
MAX_MS = 10**14


def usd(nano_usd: int) -> str:
    """Nano-USD as exact decimal USD, with two decimals at least: 1_250_000 is "0.00125", 0 is "0.00"."""
    sign = "-" if nano_usd < 0 else ""
    whole, rest = divmod(abs(nano_usd), NANO)
    return f"{sign}{whole}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"


def nano_usd(amount: Decimal) -> int:
    """Exact nano-USD. The caller has checked that there are at most nine decimals."""
    return int(amount * NANO)


def epoch_ms(text: str, param: str) -> int:
    """Epoch milliseconds from digits or from ISO 8601 (UTC where no offset is given). Raises ``InvalidRequest``."""
    if text.isascii() and text.isdigit() and len(text) <= 15:
        millis = int(text)
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidRequest(
                f"{param} is neither epoch milliseconds nor an ISO 8601 time like 2026-01-31T00:00:00Z", param=param
            ) from None
        millis = round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 <= millis < MAX_MS:
        raise InvalidRequest(f"{param} is out of range", param=param)
    return millis
