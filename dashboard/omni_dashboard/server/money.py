"""Prices, the books and their correction over HTTP."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Query
from starlette.requests import Request

from omni_dashboard.domain.access import ADMIN
from omni_dashboard.domain.values import epoch_ms
from omni_dashboard.money import Money
from omni_dashboard.reconciler import Look
from omni_dashboard.server.money_schemas import PricesOut, RepricedOut, RepricingIn, StatementOut
from omni_dashboard.server.proof_schemas import ProofOut
from omni_dashboard.server.routes import JSON, Row, identity_of

_WORD = r"^[^\x00-\x1f\x7f]*$"
_When = Annotated[str, Query(max_length=40, description="ISO 8601 or epoch ms; a day of UTC begins then")]


class MoneyApi:
    """The functions behind the routes. ``looks`` are the last looks at the books, the newest first."""

    def __init__(self, money: Money, looks: Callable[[], Sequence[Look]]) -> None:
        self._money = money
        self._looks = looks

    def rows(self) -> tuple[Row, ...]:
        return (
            Row("GET", "/api/price-list", ADMIN, self.price_list, PricesOut, area="config"),
            Row("GET", "/api/audit/usage", ADMIN, self.audit_usage, ProofOut, area="audit"),
            Row("GET", "/api/usage/statement", ADMIN, self.statement, StatementOut, area="usage"),
            Row("POST", "/api/usage/reprice", ADMIN, self.reprice, RepricedOut, area="usage", takes=JSON),
        )

    async def price_list(
        self,
        request: Request,
        provider: Annotated[str, Query(max_length=64, pattern=_WORD)] = "",
        model: Annotated[str, Query(max_length=256, pattern=_WORD)] = "",
        history: Annotated[bool, Query(description="also those that are past, or yet to come")] = False,
    ) -> PricesOut:
        """What is paid for each model, by whom, since when, and where the configuration says so. Those of `model: "*"`
        are of all that the provider does not list."""
        found = await self._money.prices(identity_of(request))
        return PricesOut.of(
            each
            for each in found
            if provider in ("", each.provider) and model in ("", each.model) and (history or each.in_force)
        )

    async def audit_usage(
        self,
        request: Request,
        history: Annotated[int, Query(ge=0, le=288, description="so many of the latest looks besides")] = 12,
    ) -> ProofOut:
        """Whether what the ledger has as spent is what the recorded attempts were settled at, for each budget there is,
        and these what they add up to."""
        return ProofOut.of(await self._money.audit_for(identity_of(request)), list(self._looks())[:history])

    async def statement(
        self,
        request: Request,
        from_: Annotated[_When, Query(alias="from")],
        until: _When,
        provider: Annotated[str, Query(min_length=1, max_length=64, pattern=_WORD)],
    ) -> StatementOut:
        """What one provider's attempts used by day and model, to be held against its bill: alike in whether their
        counts are its own."""
        from_ms, until_ms = epoch_ms(from_, "from"), epoch_ms(until, "until")
        return StatementOut.of(await self._money.statement(identity_of(request), provider, from_ms, until_ms))

    async def reprice(self, request: Request, asked: RepricingIn) -> RepricedOut:
        """What the attempts of a day (or a part of it, of UTC) cost by the prices that are known today. With `apply`
        what is stored is corrected, with all that it adds up to; what budgets were charged stays as it was."""
        found = await self._money.reprice(identity_of(request), asked.from_ms, asked.until_ms, apply=asked.apply)
        return RepricedOut.of(found, asked.apply)
