"""What a request takes of budgets and of its limits' allowances, at most. ``now`` is in epoch seconds."""

from collections.abc import Iterable

import msgspec
from omni_catalogue.quotas import QuotaWindow
from omni_catalogue.snapshot import Allowance, Budget, Limit
from omni_catalogue.windows import Window
from omni_ledger import AllowanceHold, BudgetHold, Level


class Most(msgspec.Struct, frozen=True):
    """Of an attempt: ``requests`` 0 or 1, tokens of input, tokens of output for each one that is granted, and their
    price in nano-USD."""

    requests: int = 0
    input: int = 0
    output: int = 0
    input_nano_usd: int = 0
    output_nano_usd: int = 0

    def of(self, what: str) -> tuple[int, int]:
        """What is fixed, and what each token of output that is granted comes to."""
        if what == "tokens":
            return self.input, self.output
        if what == "input":
            return self.input, 0
        if what == "output":
            return 0, self.output
        if what == "usd":
            return self.input_nano_usd, self.output_nano_usd
        return self.requests if what == "requests" else 0, 0


def holds(limit: Limit, most: Most, now: float) -> tuple[AllowanceHold, ...]:
    return tuple(_hold(limit, allowance, most, now) for allowance in limit.allowances)


def upstream(limit: Limit, most: Most, fixed: int, per_token: int, now: float, *, priced: bool) -> Level:
    """One of what is upstream: there every attempt is a request."""
    return Level(
        owner=limit.window_owner,
        budget=of_budget(limit, fixed, per_token, now) if priced else None,
        allowances=holds(limit, msgspec.structs.replace(most, requests=1), now),
    )


def of_a_request(limit: Limit, now: float) -> Level:
    """One that is a request and no attempt: it is told from a recording, or only to be counted."""
    requests = [each for each in limit.allowances if each.of == "requests"]
    return Level(
        owner=limit.window_owner,
        requests_per_minute=limit.requests_per_minute,
        allowances=tuple(_hold(limit, each, Most(requests=1), now) for each in requests),
    )


def of_a_vector(limit: Limit, most: Most, now: float) -> tuple[AllowanceHold, ...]:
    """A text's, asked for besides what answers the request: it is no request, and not one more at once."""
    return tuple(_hold(limit, each, most, now) for each in limit.allowances if any(most.of(each.of)))


def of_account(account_id: str, windows: Iterable[QuotaWindow], now: float) -> tuple[Level, ...]:
    """What an attempt counts as in the windows of its account's quota. They refuse nothing, so one of each is held
    until it is known how many it came to."""
    return tuple(
        Level(
            owner=window.owner(account_id),
            allowances=(
                AllowanceHold(of=window.of, most=window.most, window=window.at(now), fixed=1, warn=(), refuses=False),
            ),
            leasable=False,
        )
        for window in windows
    )


def _hold(limit: Limit, allowance: Allowance, most: Most, now: float) -> AllowanceHold:
    fixed, per_token = most.of(allowance.of)
    return AllowanceHold(
        of=allowance.of,
        most=allowance.most,
        window=limit.window(allowance.window, now),
        fixed=fixed,
        per_output_token=per_token,
        warn=allowance.warn if allowance.warn or allowance.mode != "hard" else None,
        refuses=allowance.mode == "hard",
        limit=(limit.id, limit.full_name, limit.organisation),
    )


def of_budget(limit: Limit, fixed: int, per_token: int, now: float) -> BudgetHold | None:
    """What is held on its budget, in nano-USD."""
    budget = limit.budget
    return hold_on(budget, limit.window(budget.window, now), fixed, per_token) if budget is not None else None


def hold_on(budget: Budget, window: Window, fixed: int, per_token: int) -> BudgetHold:
    return BudgetHold(
        cap_nano_usd=budget.nano_usd,
        window=window,
        fixed_nano_usd=fixed,
        per_output_token_nano_usd=per_token,
        is_whole=budget.unaffordable == "refuse",
    )
