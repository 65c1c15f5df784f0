"""Which keys, limits and accounts of a configuration a question is about."""

import msgspec
from omni_catalogue.snapshot import Budget, KeyPolicy, Limit, Snapshot
from omni_catalogue.windows import Window


class Scope(msgspec.Struct, frozen=True):
    """``now`` is in epoch seconds."""

    policies: tuple[KeyPolicy, ...]
    accounts: tuple[str, ...]
    limits: tuple[Limit, ...] = ()

    def owners(self, now: float) -> list[tuple[str, Window]]:
        """(key id or owner of a limit's windows, budget window or "") as the ledger is asked: keys, then limits."""
        keys: list[tuple[str, Window]] = [(policy.id, budget_window(policy.budget)) for policy in self.policies]
        return keys + [(limit.window_owner, limit.window(budget_window(limit.budget), now)) for limit in self.limits]

    def allowances(self, now: float) -> list[tuple[str, str, Window]]:
        """(owner, of, window) of each of the limits' allowances, in their order."""
        return [
            (limit.window_owner, each.of, limit.window(each.window, now))
            for limit in self.limits
            for each in limit.allowances
        ]


def scope_of(configuration: Snapshot, key_id: str) -> Scope:
    """All keys and limits when ``key_id`` is empty, else that key and those that it shares, none when it is unknown;
    always every account."""
    policies = tuple(policy for policy in configuration.keys if not key_id or policy.id == key_id)
    shared = {limit for policy in policies for limit in policy.limits}
    return Scope(
        policies,
        tuple(account.id for provider in configuration.providers for account in provider.accounts),
        tuple(limit.counted() for limit in configuration.limits if not key_id or limit.id in shared),
    )


def budget_window(budget: Budget | None) -> str:
    """The window of a budget; empty without one."""
    return budget.window if budget is not None else ""
