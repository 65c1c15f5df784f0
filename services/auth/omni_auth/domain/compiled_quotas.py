"""What the configuration says of accounts' quotas, compiled: of an account's words and its provider's, the
account's."""

from typing import Any

from omni_catalogue.quotas import VENDORS, Quota, QuotaWindow

from omni_auth.domain.sections.providers import QuotaSection, QuotaWindowSection

# A day that "at" is a time of; any will do.
_SOME_DAY = "2024-01-01"


def compile_quota(wider: QuotaSection | None, own: QuotaSection | None) -> Quota | None:
    """None where neither says anything, or one says off."""
    if wider is None and own is None:
        return None
    said: dict[str, Any] = {}
    for section in (wider, own):
        if section is not None:
            said |= {name: getattr(section, name) for name in section.model_fields_set}
    if not said.pop("enabled", True):
        return None
    windows = tuple(map(_window, said.pop("windows", ())))
    ask = said.get("ask", "")
    if not windows and ask in VENDORS:
        windows = VENDORS[ask].windows
    return Quota(windows=windows, **said)


def _window(section: QuotaWindowSection) -> QuotaWindow:
    return QuotaWindow(
        window=section.window,
        of=section.of,
        most=section.amount,
        resets=section.begins,
        zone=section.time_zone or "",
        anchor=f"{_SOME_DAY}T{section.at}" if section.at else section.anchor or "",
        models=section.models,
        label=section.name or "",
    )
