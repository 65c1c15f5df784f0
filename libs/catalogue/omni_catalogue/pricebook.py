"""All prices that are known today, in one book: what anybody paid for anything at any time. Pure."""

from functools import cached_property

import msgspec
from omni_wire.errors import WireError

from omni_catalogue.prices import Dated, History, Price, Terms, history
from omni_catalogue.snapshot import Snapshot


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model of a provider costs; "*" is all that the provider does not list. As ``snapshot.Model``."""

    provider: str
    model: str
    price: Price | None = None
    changes: tuple[Dated, ...] = ()
    terms: tuple[Terms, ...] = ()


class PriceBook(msgspec.Struct, frozen=True, dict=True):
    """``organisations`` are those of the keys that there are, by the key's id."""

    listed: tuple[Listed, ...]
    organisations: dict[str, str]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "PriceBook":
        return cls(
            tuple(
                Listed(provider.id, model.id, model.price, model.changes, model.terms)
                for provider in snapshot.providers
                for model in provider.models
            ),
            {key.id: key.organisation for key in snapshot.keys},
        )

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Listed]:
        return {(each.provider, each.model): each for each in self.listed}

    def pays(self, provider: str, model: str, account: str, key: str) -> History:
        """What a key (id) pays for a model at an account (id). Empty where no price is known, or where that depends on
        whose the key is, which is no more."""
        found = self._by_name.get((provider, model)) or self._by_name.get((provider, "*"))
        if found is None:
            return ()
        organisation = self.organisations.get(key)
        if organisation is None:
            if any(each.organisation for each in found.terms):
                return ()
            organisation = ""
        return history(found.price, found.changes, found.terms, account, organisation)


def encode(book: PriceBook) -> bytes:
    return msgspec.json.encode(book)


def decode(data: bytes) -> PriceBook:
    """Raises ``WireError``."""
    try:
        return msgspec.json.decode(data, type=PriceBook)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"not a book of prices: {error}", "book") from error
