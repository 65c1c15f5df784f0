"""Every price there is, as a list: for whom, since when, where it is said. Pure."""

from collections.abc import Container, Iterator

import msgspec
from omni_catalogue.pricebook import Listed, PriceBook
from omni_catalogue.prices import Dated, History, Price, in_force, version


class Offered(msgspec.Struct, frozen=True):
    """What is paid for a model from ``since_ms`` on (epoch milliseconds; 0: since ever), at an ``account`` and by an
    ``organisation``, where they are not empty. ``source`` is the object of the configuration that says so."""

    provider: str
    model: str
    account: str
    organisation: str
    since_ms: int
    in_force: bool
    version: str
    source: str
    price: Price


def offered(book: PriceBook, named: Container[str], now_ms: int) -> list[Offered]:
    """``named`` are the prices that are objects of their own, as the configuration names them."""
    return [
        Offered(
            listed.provider,
            listed.model,
            account,
            organisation,
            row.from_ms,
            row == in_force(rows, now_ms),
            version(row),
            _source(listed, named),
            row.price,
        )
        for listed in book.listed
        for account, organisation, rows in _whose(listed)
        for row in rows
    ]


def _whose(listed: Listed) -> Iterator[tuple[str, str, History]]:
    if listed.price is not None:
        yield "", "", (Dated(0, listed.price), *listed.changes)
    for terms in listed.terms:
        yield terms.account, terms.organisation, (Dated(0, terms.price), *terms.changes)


def _source(listed: Listed, named: Container[str]) -> str:
    for owner in (listed.provider, "*"):
        if (name := f"{owner}/{listed.model}") in named:
            return f"prices/{name}"
    return f"providers/{listed.provider}"
