"""What a provider gives an account in a time, by windows; and who of the vendors can be asked how much is left.

A window is counted from what goes through the gateway, and corrected by what its provider says of the window of the
same name. Nothing here is a limit of ours: what is used up is a provider's to refuse, and ours to go round.
"""

from fnmatch import fnmatchcase

import msgspec

from omni_catalogue.windows import Lasting, Window, window_at

# What a window is of. The amounts are whole: nano-USD, hundredths of a percent and of a credit, else the thing itself.
MEASURES = ("requests", "tokens", "input", "output", "usd", "percent")
COUNTED = frozenset(("requests", "tokens", "input", "output", "usd"))
SCALE = {"percent": 100, "credits": 100, "usd": 1_000_000_000}
PERCENT = 100 * SCALE["percent"]  # all there is
# Windows by name, and how long one lasts (seconds); "once" has no end.
SPANS = {"5h": 18_000, "day": 86_400, "week": 604_800, "month": 2_592_000, "once": 0}
# When a window begins anew: by the calendar, or so long after the first use; or never, as it goes along with the time.
RESETS = ("calendar", "first-use", "rolling")


class QuotaWindow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``most`` ``of`` one of ``MEASURES`` in a ``window`` of ``SPANS``; 0 is "not known". ``resets`` is one of
    ``RESETS``; ``zone`` and ``anchor`` are of the calendar's, as in ``windows``. ``models`` are patterns of the ids
    that count, none for all. ``label`` is its name where that is not said by the rest."""

    window: str
    of: str
    most: int = 0
    resets: str = "calendar"
    zone: str = ""
    anchor: str = ""
    models: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """As what a provider tells of it is called: "5h", "week", "week:*opus*"."""
        return self.label or window_name(self.window, *self.models)

    def owner(self, account_id: str) -> str:
        """Whose counts it has in the ledger: no key's id, and no limit's, looks like that."""
        return f"account:{account_id}" if self.name == self.window else f"account:{account_id} {self.name}"

    @property
    def is_counted(self) -> bool:
        return self.of in COUNTED

    def is_of(self, model: str) -> bool:
        return matches(self.models, model)

    def at(self, now: float) -> Window:
        """As the ledger counts it, at about ``now`` (epoch seconds)."""
        if self.window == "once":
            return "total"
        if self.resets == "rolling":
            return self.window
        if self.resets == "first-use":
            return self.lasting
        return window_at(self.window, self.zone, self.anchor, now)

    @property
    def lasting(self) -> Lasting:
        return self.window, SPANS[self.window]


class Quota(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an account's quota before anybody is asked. ``ask`` is who can be, one of ``VENDORS``, at
    ``url`` where that is not the vendor's own, ``every`` so many seconds, for the ``workspace`` that the account is
    in. An account of which no more than ``cutoff`` percent is left is left alone until that changes; from ``warn``
    percent on it is told."""

    windows: tuple[QuotaWindow, ...] = ()
    ask: str = ""
    url: str = ""
    workspace: str = ""
    every: float = 300.0
    cutoff: float = 2.0
    warn: float = 20.0

    @property
    def address(self) -> str:
        """Where to ask; empty for nowhere."""
        return self.url or (VENDORS[self.ask].url if self.ask in VENDORS else "")

    def counted(self, model: str) -> tuple[QuotaWindow, ...]:
        """The windows that a request for ``model`` counts in."""
        return tuple(window for window in self.windows if window.is_counted and window.is_of(model))


class Vendor(msgspec.Struct, frozen=True):
    """``url`` is where it is asked, ``windows`` what its plans are known to have where the configuration says none."""

    url: str
    windows: tuple[QuotaWindow, ...] = ()


def window_name(window: str, *parts: str) -> str:
    return f"{window}:{','.join(parts)}" if parts else window


def matches(patterns: tuple[str, ...], model: str) -> bool:
    return not patterns or any(fnmatchcase(model, pattern) for pattern in patterns)


_FIVE_HOURS = QuotaWindow(window="5h", of="percent", resets="first-use")
_WEEK = QuotaWindow(window="week", of="percent", resets="first-use")
# The addresses are those that the vendors' own tools ask; few are documented.
VENDORS = {
    "claude-code": Vendor("https://api.anthropic.com/api/oauth/usage", (_FIVE_HOURS, _WEEK)),
    "codex": Vendor("https://chatgpt.com/backend-api/wham/usage", (_FIVE_HOURS, _WEEK)),
    "copilot": Vendor("https://api.github.com/copilot_internal/user"),
    "gemini-cli": Vendor(
        "https://cloudcode-pa.googleapis.com/v1internal:retrieveUserQuota",
        (QuotaWindow(window="day", of="requests", most=1000, zone="America/Los_Angeles"),),
    ),
    "antigravity": Vendor("https://cloudcode-pa.googleapis.com/v1internal:fetchAvailableModels"),
    "kiro": Vendor("https://codewhisperer.us-east-1.amazonaws.com/"),
    "glm": Vendor("https://api.z.ai/api/monitor/usage/quota/limit"),
    "kimi": Vendor("https://api.kimi.com/coding/v1/usages"),
    "minimax": Vendor("https://api.minimax.io/v1/api/openplatform/coding_plan/remains"),
    "openrouter": Vendor("https://openrouter.ai/api/v1/key"),
}
