"""The rate limits of providers, accounts and models: what is configured, what was learned, what there is of it."""

from collections.abc import Iterable

from omni_catalogue import circuits
from omni_catalogue.lanes import Lane, lanes_of
from omni_catalogue.snapshot import Snapshot
from omni_core.ports.quota import RateState
from omni_ledger import LaneStanding


def rate_states(configuration: Snapshot, standings: Iterable[LaneStanding]) -> tuple[RateState, ...]:
    """Of every lane of the configuration that has a limit or of which something is known, by name."""
    configured = _configured(configuration)
    known = {standing.name: standing for standing in standings}
    providers = {provider.id for provider in configuration.providers}
    accounts = {account.id for provider in configuration.providers for account in provider.accounts}
    found = []
    for name in sorted({*configured, *known}):
        if name in providers or circuits.read(name).account in accounts:
            lane, standing = configured.get(name) or Lane(name), known.get(name) or _nothing(name)
            found.append(_state(lane, standing, name in providers))
    return tuple(found)


def lanes_of_account(account: str, standings: Iterable[LaneStanding]) -> list[str]:
    """Its own lane and those of its models."""
    return [standing.name for standing in standings if circuits.read(standing.name).account == account]


def _configured(configuration: Snapshot) -> dict[str, Lane]:
    return {
        lane.name: lane
        for provider in configuration.providers
        for account in provider.accounts
        for model in provider.models
        for lane in lanes_of(provider, account, model, learns=False)
        if not lane.name.endswith(" *")
    }


def _nothing(name: str) -> LaneStanding:
    return LaneStanding(name, 0, 0, 0, "", 0, 0, 0, 0)


def _state(lane: Lane, standing: LaneStanding, is_provider: bool) -> RateState:
    limit, seat = lane.limit, circuits.read(lane.name)
    return RateState(
        provider=lane.name if is_provider else seat.account.partition("/")[0],
        account_id="" if is_provider else seat.account,
        model=seat.model,
        requests_per_minute=limit.requests_per_minute or standing.requests_per_minute,
        tokens_per_minute=limit.tokens_per_minute or standing.tokens_per_minute,
        min_gap=limit.min_gap,
        concurrent=limit.concurrent or standing.at_once,
        learned=standing.learned,
        requests_in_window=standing.requests_in_window,
        tokens_in_window=standing.tokens_in_window,
        under_way=standing.under_way,
        waiting=standing.waiting,
    )
