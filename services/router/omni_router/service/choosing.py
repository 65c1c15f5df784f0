"""The candidates of one request in the order that the configured strategies give: a combo's targets first and then,
when the turn of one comes, its accounts; or its own targets, where it is a combo itself. So a provider's round goes on
only when one of its accounts is asked. A target that stands in several combos is tried when its first turn comes.

Only for requests that have a choice. All others are tried as listed, and pay for nothing here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

from omni_core import clock
from omni_core.ports.router import Head
from omni_ledger import Ledger, Pick
from omni_wire.errors import DependencyUnavailable, GatewayError, Internal

from omni_router.domain import counting, verdict
from omni_router.domain.choice import Choice, Level, Option, Warm, expected_cost, seat, share_left
from omni_router.domain.conversation import WARM_FOR, Size, fingerprint, is_marked, kept
from omni_router.domain.decision import Ordered
from omni_router.domain.offer import Offer
from omni_router.domain.strategies import FILL_FIRST, Draw, Place, Strategy, Turn, order
from omni_router.service.attempt import Attempt
from omni_router.service.held import Asked
from omni_router.service.standings import Standing, Standings


class Chooser:
    """One a router. ``draw`` gives numbers in [0, 1)."""

    def __init__(self, ledger: Ledger, draw: Draw) -> None:
        self.ledger = ledger
        self.draw = draw
        self.standings = Standings()

    def dry(self) -> "Chooser":
        """One that chooses as this one would, and changes nothing."""
        made = Chooser(self.ledger.dry(), self.draw)
        made.standings = self.standings.copy()
        return made

    async def line(self, asked: Asked, choice: Choice, offers: Sequence[Offer]) -> "Line":
        """``offers`` are those of the choice that this request may use."""
        line = Line(self, asked, choice)
        await line.begin(frozenset(map(id, offers)))
        return line


class Line:
    """``next`` gives the candidates; the rest is about those that it gave. ``orders`` is how they came about."""

    def __init__(self, chooser: Chooser, asked: Asked, choice: Choice) -> None:
        self._ledger, self._draw, self._standings = chooser.ledger, chooser.draw, chooser.standings
        self._asked, self._choice = asked, choice
        self._usable: frozenset[int] = frozenset()
        self._open: list[tuple[Level, Iterator[Option]]] = []  # combos, from the one that was asked for inwards
        self._accounts: Iterator[Option] = iter(())
        self._tried: set[str] = set()  # targets
        self._at: list[tuple[Level, Option]] = []  # the candidate: what was chosen on each level, its account last
        self._ways: dict[int, tuple[tuple[Level, Option], ...]] = {}  # the same of each that was given, by its identity
        self._inside: dict[str, list[Standing]] = {}  # by attempt under way: those that it is counted in
        self._counted: dict[str, str] = {}  # by scope: whose use the fleet has counted already
        self._size: Size | None = None
        self._conversation = ""
        self._warm: dict[str, Warm] | None = None
        self.orders: list[Ordered] = []

    async def begin(self, usable: frozenset[int]) -> None:
        """Put the targets in order. ``usable`` are the identities of the offers that may be used: all of a target's or
        none, as it is the provider that decides."""
        self._usable = usable
        await self._enter_level(self._choice.targets)

    async def next(self) -> Offer | None:
        account = next(self._accounts, None)
        if account is None:
            target = await self._next_target()
            if target is None:
                return None
            level = self._choice.accounts[target.name]
            self._accounts = iter(await self._ordered(level, level.options))
            account = next(self._accounts)
            self._at.append((level, account))
        else:
            self._at[-1] = self._at[-1][0], account
        offer = account.offers[0]
        self._ways[id(offer)] = tuple(self._at)
        return offer

    async def _next_target(self) -> Option | None:
        while self._open:
            level, options = self._open[-1]
            del self._at[len(self._open) - 1 :]
            option = next(options, None)
            if option is None:
                self._open.pop()
            elif option.inside is not None:
                self._at.append((level, option))
                await self._enter_level(option.inside)
            elif option.name not in self._tried:
                self._tried.add(option.name)
                self._at.append((level, option))
                return option
        return None

    async def _enter_level(self, level: Level) -> None:
        left = [option for option in level.options if self._is_usable(option)]
        self._open.append((level, iter(await self._ordered(level, left))))

    def _is_usable(self, option: Option) -> bool:
        if option.inside is not None:
            return any(map(self._is_usable, option.inside.options))
        return option.name not in self._tried and id(option.offers[0]) in self._usable

    # ---- what becomes of a candidate --------------------------------------------------------------------------------

    def cools(self, circuit: str, seconds: float) -> None:
        """A circuit of its is open."""
        self._standings.cools(circuit, clock.monotonic() + seconds)

    async def open(self, attempt: Attempt) -> Head:
        """``attempt.open``, and what can be learnt from it. Raises a ``GatewayError``."""
        if not attempt.hedge:
            self._leave_all()
        self._enter(attempt)
        try:
            head = await attempt.open()
        except GatewayError as error:
            if attempt.sent and not verdict.is_the_clients(error):
                self._learn(attempt, Standing.failed)
            raise
        self._learn(attempt, Standing.answered)
        return head

    def outrun(self, attempt: Attempt) -> None:
        """Another was faster."""
        if attempt.sent:
            self._learn(attempt, Standing.outrun)
        self.leave(attempt)

    def leave(self, attempt: Attempt) -> None:
        """It is over, and its request is not."""
        for standing in self._inside.pop(attempt.id, ()):
            standing.leave()

    def _enter(self, attempt: Attempt) -> None:
        inside = self._inside[attempt.id] = []
        for level, option in self._ways[id(attempt.offer)]:
            standing = self._standings.of(option.name)
            standing.enter()
            inside.append(standing)
            if level.strategy.uses and self._counted.get(level.scope) != option.member:
                self._counted[level.scope] = option.member
                self._ledger.used_soon(level.scope, option.member)

    def _learn(self, attempt: Attempt, outcome: Callable[[Standing, float, float], None]) -> None:
        now = clock.monotonic()
        for standing in self._inside[attempt.id]:
            outcome(standing, now - attempt.sent, now)
            standing.told(attempt.headers, now)

    def finish(self, attempt: Attempt | None, error: GatewayError | None) -> None:
        """The request is over. ``attempt`` is its last, with its usage counted."""
        self._leave_all()
        if attempt is None or attempt.first_byte_ms < 0 or self._size is None:
            return
        request, usage = self._asked.request, attempt.usage
        if tokens := kept(attempt.candidate.provider.format, usage):
            self._ledger.warmed_soon(self._conversation, seat(attempt.offer), tokens, int(WARM_FOR * 1000))
        if error is None:
            self._standings.saw_output(request.model, usage.output_tokens // request.choices)

    def _leave_all(self) -> None:
        for inside in self._inside.values():
            for standing in inside:
                standing.leave()
        self._inside.clear()

    # ---- order ------------------------------------------------------------------------------------------------------

    async def _ordered(self, level: Level, options: Sequence[Option]) -> Iterable[Option]:
        if level.strategy is FILL_FIRST or len(options) < 2:
            return options
        if level.strategy.costs and self._size is None:
            self._measure()
        now, ready, cooling = clock.monotonic(), options, frozenset[str]()
        if self._standings.has_cooling:
            cooling = frozenset(option.name for option in options if self._is_cooling(option, now))
            ready = [each for each in options if each.name not in cooling] or options
        cursor, uses, left = await self._shared(level, ready)
        places = self._places(level.strategy, options, uses, left, cooling, now)
        turn = Turn(self._draw, cursor, level.sticky)
        placed = order(level.strategy, places, turn)
        self.orders.append(Ordered(level, placed, cursor))
        named = level.named
        return [named[place.name] for place in placed]

    def _places(
        self,
        strategy: Strategy,
        options: Sequence[Option],
        uses: Mapping[str, int],
        left: Mapping[str, float],
        cooling: Set[str],
        now: float,
    ) -> list[Place]:
        """The options as ``strategy`` goes by them; what it does not look at is left out."""
        if strategy.costs and self._size is not None:
            size, warm, now_ms = self._size, self._warm or {}, clock.now_ms()
            return [
                Place(
                    option.name,
                    cost=expected_cost(option, size, warm, now_ms),
                    warm_ago=_warm_ago(option, warm) if warm else None,
                    cooling=option.name in cooling,
                )
                for option in options
            ]
        if strategy.sees:
            return [self._seen(option, uses, left, option.name in cooling, now) for option in options]
        if not cooling:
            return [option.place for option in options]
        return [Place(option.name, option.weight, cooling=option.name in cooling) for option in options]

    def _seen(
        self, option: Option, uses: Mapping[str, int], left: Mapping[str, float], cooling: bool, now: float
    ) -> Place:
        standing, name = self._standings.of(option.name), option.name
        headroom = standing.headroom(now)
        if left and (share := share_left(option, left)) is not None:
            headroom = share if headroom is None else min(headroom, share)
        return Place(
            name,
            option.weight,
            uses.get(name, standing.uses),
            standing.in_flight,
            standing.first_byte(now),
            headroom,
            cooling=cooling,
        )

    async def _shared(self, level: Level, options: Sequence[Option]) -> tuple[int, dict[str, int], Mapping[str, float]]:
        """What the fleet knows: the turn, the uses by name, and what is left of quotas by circuit. Where it cannot be
        asked, this router goes on with what it knows itself."""
        strategy, asks_warm = level.strategy, level.strategy.costs and self._warm is None
        about = _with_quota(options) if strategy.quotas else ()
        if not (strategy.cursor or strategy.uses or about or asks_warm):
            return 0, {}, {}
        wanted = Pick(
            cursor=level.scope if strategy.cursor else "",
            uses=level.scope if strategy.uses else "",
            members=tuple(option.member for option in options) if strategy.uses else (),
            conversation=self._conversation if asks_warm else "",
            left=about,
        )
        try:
            picked = await self._ledger.pick(wanted)
        except (DependencyUnavailable, Internal):
            return self._standings.turn(level.scope), {}, {}
        if asks_warm:
            self._warm = {each.place: Warm(each.tokens, each.ago) for each in picked.warm if each.ago < WARM_FOR}
        if strategy.uses:  # the ledger has counted one of these already
            first = min(range(len(options)), key=picked.uses.__getitem__)
            self._counted[level.scope] = options[first].member
        counts = {option.name: uses for option, uses in zip(options, picked.uses, strict=False)}
        return picked.cursor, counts, picked.left

    def _is_cooling(self, option: Option, now: float) -> bool:
        return all(self._standings.is_cooling(offer.circuits, now) for offer in option.offers)

    def _measure(self) -> None:
        call, request = self._asked.call, self._asked.request
        output = self._standings.typical_output(request.model, request.limit) * request.choices
        marked = is_marked(request.body)
        self._size = Size(counting.rough(request.body.whole), output, marked)
        self._conversation = fingerprint(
            call.client_format, request.body, self._asked.policy.id, request.model, marked=marked
        )


def _with_quota(options: Sequence[Option]) -> tuple[str, ...]:
    """The circuits of those accounts of which anything is known beside what answers tell."""
    offers = [offer for option in options for offer in option.offers if offer.quota is not None]
    return tuple(dict.fromkeys(name for offer in offers for name in (offer.circuits.account, offer.circuits.seat)))


def _warm_ago(option: Option, warm: Mapping[str, Warm]) -> float | None:
    if warm.keys().isdisjoint(option.seats):
        return None
    return min([each.ago for name, each in warm.items() if name in option.seats])
