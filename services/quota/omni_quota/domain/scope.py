"""Which keys and accounts of a configuration a question is about."""

import msgspec
from omni_catalogue.snapshot import KeyPolicy, Snapshot


class Scope(msgspec.Struct, frozen=True):
    policies: tuple[KeyPolicy, ...]
    accounts: tuple[str, ...]

    def keys(self) -> list[tuple[str, str]]:
        """(key id, budget window or "") as the ledger is asked."""
        return [(policy.id, budget_window(policy)) for policy in self.policies]


def scope_of(configuration: Snapshot, key_id: str) -> Scope:
    """All keys when ``key_id`` is empty, none when it is unknown; always every account."""
    return Scope(
        tuple(policy for policy in configuration.keys if not key_id or policy.id == key_id),
        tuple(account.id for provider in configuration.providers for account in provider.accounts),
    )


def budget_window(policy: KeyPolicy) -> str:
    """The window of the key's budget; empty when it has none."""
    return policy.budget.window if policy.budget is not None else ""
