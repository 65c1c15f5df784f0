"""Which lanes of a configuration are shown: those with a rate limit, and those of which something is known."""

from collections.abc import Iterable

from omni_catalogue import circuits
from omni_catalogue.lanes import Lane, lanes_of
from omni_catalogue.snapshot import Snapshot


def shown_lanes(configuration: Snapshot, known: Iterable[str]) -> list[Lane]:
    """By name, each with what is configured for it. Of what is ``known``, what no provider or account of the
    configuration has is left out."""
    lanes = {
        lane.name: lane
        for provider in configuration.providers
        for account in provider.accounts
        for model in provider.models
        for lane in lanes_of(provider, account, model, learns=False)
        if not (lane.name.endswith(" *") and model.id == "*")
    }
    owners = {provider.id for provider in configuration.providers}
    owners |= {account.id for provider in configuration.providers for account in provider.accounts}
    for name in known:
        if circuits.read(name).account in owners:
            lanes.setdefault(name, Lane(name))
    return [lanes[name] for name in sorted(lanes)]


def is_of_account(lane: str, account: str) -> bool:
    """Whether it is the account's, or one of its models'."""
    return circuits.read(lane).account == account
