"""The lanes of an attempt, each with a rate limit: its provider's, its account's, its account's for the model.

A lane has the name of what it is of: ids of providers have no slash, those of accounts no blank.
"""

import msgspec

from omni_catalogue import circuits
from omni_catalogue.snapshot import Account, Model, Provider, RateLimit

_ANY = RateLimit()


class Lane(msgspec.Struct, frozen=True):
    name: str
    limit: RateLimit = _ANY


def lanes_of(provider: Provider, account: Account, model: Model, *, learns: bool) -> tuple[Lane, ...]:
    """Those that bound anything, from the widest; with ``learns`` that of the account for the model, the last, does."""
    whole = Lane(provider.id, provider.rate_limit), Lane(account.id, account.rate_limit)
    found = tuple(lane for lane in whole if lane.limit != _ANY)
    if learns or model.rate_limit != _ANY:
        found += (Lane(circuits.seat(account.id, model.id), model.rate_limit),)
    return found
