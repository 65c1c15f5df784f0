"""The ledger's lanes and its budget of retries again, in plain Python: what ``lanes.lua`` and ``retries.lua`` must
agree with. Times are milliseconds."""

from omni_catalogue.lanes import Lane
from omni_ledger import LaneNews, LaneStanding, Passage, Refusal, Retrying

MINUTE = 60_000
LEASE = 60_000
HERD_GAP, HERD_FOR = 20, 2_000


class Known:
    """Of one lane."""

    def __init__(self) -> None:
        self.last = 0
        self.requests: list[int] = []  # by the end of their bucket
        self.tokens: dict[int, int] = {}  # by second
        self.refusals: dict[int, int] = {}  # by second
        self.active: dict[str, int] = {}
        self.queue: dict[str, int] = {}
        self.leases: dict[str, int] = {}
        self.learned = (0, 0, 0)  # requests, tokens, at once
        self.how, self.when, self.refused = "", 0, 0
        self.left, self.until = (0, 0), 0
        self.cooled = 0
        self.is_recorded = False  # something was learned, or a gap was kept


class Bound:
    """What bounds an admission in one lane."""

    def __init__(self, lane: Lane, known: Known, learned: tuple[int, int, int] | None, now: int) -> None:
        limit = lane.limit
        self.name, self.known, self.learns = lane.name, known, learned is not None
        requests, tokens, at_once = learned or (0, 0, 0)
        self.requests = limit.requests_per_minute or requests
        self.tokens = limit.tokens_per_minute or tokens
        self.at_once = limit.concurrent or at_once
        self.is_queued = bool(known.queue)
        is_herd = self.is_queued and known.is_recorded and now < known.cooled + HERD_FOR
        self.gap = max(int(limit.min_gap * 1000), HERD_GAP if is_herd else 0)
        self.ahead = 0


class Lanes:
    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.rung: list[str] = []
        self.taken: dict[str, tuple[int, int, list[str]]] = {}  # by attempt: tokens, second, lanes
        self.retries: dict[int, list[int]] = {}  # requests and retries by the start of their ten seconds

    def of(self, name: str) -> Known:
        return self.known.setdefault(name, Known())

    # ---- admission --------------------------------------------------------------------------------------------------

    def look(self, passage: Passage, now: int) -> list[Bound] | Refusal:
        bounds = []
        for number, lane in enumerate(passage.lanes):
            known = self.of(lane.name)
            learns = passage.learns and number == len(passage.lanes) - 1 and known.is_recorded
            bound = Bound(lane, known, self._learned(known, now) if learns else None, now)
            if bound.learns or bound.requests + bound.tokens + bound.gap + bound.at_once > 0:
                bounds.append(bound)
        ticket = passage.ticket
        came = ticket.came_ms if ticket is not None else 0
        waits = [self._wait(bound, passage.tokens, came, now) for bound in bounds]
        longest = max(waits, default=0)
        if not longest:
            return bounds
        slowest = bounds[waits.index(longest)]
        if ticket is not None:
            came = came or now
            for bound in bounds:
                if bound is slowest:
                    self.join(bound.name, ticket.id, came, now + ticket.lease_ms)
                else:
                    self._leave(bound.name, ticket.id)
        return Refusal("paced", longest / 1000, slowest.name, "paced", came_ms=came, ahead=slowest.ahead)

    def join(self, name: str, ticket: str, came: int, until: int) -> None:
        known = self.of(name)
        known.queue.setdefault(ticket, came)
        known.leases[ticket] = until

    def _learned(self, known: Known, now: int) -> tuple[int, int, int]:
        if known.how == "told":
            return known.learned
        minutes = max(0, now - known.when - 300_000) // MINUTE
        requests, tokens, at_once = (each and max(each + minutes, int(each * 1.1**minutes)) for each in known.learned)
        return requests, tokens, at_once

    def _wait(self, bound: Bound, tokens: int, came: int, now: int) -> int:
        known = bound.known
        if bound.is_queued:
            for ticket in [ticket for ticket, until in known.leases.items() if until <= now]:
                self._leave(bound.name, ticket)
        ahead = bound.ahead = sum(not came or each < came for each in known.queue.values()) if bound.is_queued else 0
        wait = max(0, known.last + bound.gap - now) if bound.gap and known.is_recorded else 0
        waits = [wait + ahead * bound.gap]
        if bound.requests:
            waits.append(self._requests_wait(bound, now))
        if bound.tokens:
            waits.append(self._tokens_wait(known, bound.tokens, tokens * (ahead + 1), now))
        if bound.at_once and len(self.active(bound.name, now)) + ahead >= bound.at_once:
            waits.append(250 + 100 * ahead)
        reads = bound.learns or bound.is_queued or bound.gap
        if reads and known.until > now and (known.left[0] <= ahead or known.left[1] < tokens * (ahead + 1)):
            waits.append(known.until - now)
        return max(waits)

    @staticmethod
    def _counted(known: Known, now: int) -> list[int]:
        return [end for end in known.requests if end + MINUTE > now]

    def _requests_wait(self, bound: Bound, now: int) -> int:
        counted, limit, ahead = self._counted(bound.known, now), bound.requests, bound.ahead
        if len(counted) + ahead < limit:
            return 0
        rounds = ahead // limit * MINUTE
        if not counted:
            return rounds
        surplus = len(counted) - min(len(counted), limit - ahead % limit)
        return counted[surplus] + MINUTE - now + rounds

    @staticmethod
    def _tokens_wait(known: Known, limit: int, need: int, now: int) -> int:
        counted = {second: count for second, count in known.tokens.items() if second + 60 > now // 1000}
        used = sum(counted.values())
        if used <= 0 or used + need <= limit:
            return 0
        for second in sorted(counted):
            used -= counted[second]
            if used <= 0 or used + need <= limit:
                return (second + 60) * 1000 - now
        return MINUTE

    def active(self, name: str, now: int) -> dict[str, int]:
        known = self.of(name)
        known.active = {attempt: until for attempt, until in known.active.items() if until > now}
        return known.active

    def take(self, bounds: list[Bound], passage: Passage, attempt: str, expires: int, now: int) -> None:
        for bound in bounds:
            known = bound.known
            if bound.requests or bound.learns:
                known.requests.append(now // 100 * 100 + 100)
            if bound.tokens or bound.learns:
                known.tokens[now // 1000] = known.tokens.get(now // 1000, 0) + passage.tokens
            if bound.gap or ((bound.learns or bound.is_queued) and known.until > now):
                requests, tokens = known.left
                known.last, known.left = now, (max(0, requests - 1), max(0, tokens - passage.tokens))
                known.is_recorded = True
            if bound.at_once or bound.learns:
                known.active[attempt] = min(expires, now + LEASE)
            if bound.is_queued and passage.ticket is not None:
                self._leave(bound.name, passage.ticket.id)
        if bounds:
            self.taken[attempt] = passage.tokens, now // 1000, [bound.name for bound in bounds]

    # ---- afterwards -------------------------------------------------------------------------------------------------

    def free(self, attempt: str, used: int) -> None:
        tokens, second, names = self.taken.get(attempt, (0, 0, []))
        for name in names:
            known = self.of(name)
            known.active.pop(attempt, None)
            if used >= 0 and second in known.tokens:
                known.tokens[second] += used - tokens
            self._ring(name)

    def renew(self, attempt: str, now: int) -> None:
        for name in self.taken.get(attempt, (0, 0, []))[2]:
            self.of(name).active[attempt] = now + LEASE

    def leave(self, ticket: str, lanes: list[str]) -> None:
        for name in lanes:
            self._leave(name, ticket)
            self._ring(name)

    def _leave(self, name: str, ticket: str) -> None:
        self.of(name).queue.pop(ticket, None)
        self.of(name).leases.pop(ticket, None)

    def _ring(self, name: str) -> None:
        queue = self.of(name).queue
        if queue:
            self.rung.append(min((came, ticket) for ticket, came in queue.items())[1])

    def learn(self, news: LaneNews, now: int) -> None:
        known = self.of(news.lane)
        known.is_recorded = True
        if news.requests_per_minute or news.tokens_per_minute:
            known.learned = news.requests_per_minute, news.tokens_per_minute, known.learned[2]
            known.how, known.when = "told", now
        away = len(self.active(news.lane, now))
        if news.left_for:
            requests = max(0, news.requests_left - away) if news.requests_left >= 0 else 10**9
            known.left = requests, news.tokens_left if news.tokens_left >= 0 else 10**15
            known.until = now + int(news.left_for * 1000)
        if news.refused and not known.refused:
            known.refused = now
        elif news.refused == "at_once":
            if known.refused + MINUTE <= now:
                known.learned = (*known.learned[:2], max(1, away))
                known.how, known.when = "refused", now
        elif news.refused == "rate" and known.how != "told":
            known.refusals[now // 1000] = known.refusals.get(now // 1000, 0) + 1
            refused = sum(count for second, count in known.refusals.items() if second + 60 > now // 1000)
            through = len(self._counted(known, now)) - refused
            if known.refused + MINUTE <= now and known.when + MINUTE <= now and through > 0:
                known.learned = max(1, int(through * 0.9)), *known.learned[1:]
                known.how, known.when = "refused", now

    def retry(self, retrying: Retrying, now: int) -> bool:
        """Whether there is one left."""
        start = now // 10_000 * 10
        counts, before = self.retries.setdefault(start, [0, 0]), self.retries.get(start - 10, [0, 0])
        allowed = max(retrying.least, (counts[0] + before[0]) * retrying.percent // 100)
        if retrying.again and counts[1] + before[1] >= allowed:
            return False
        counts[retrying.again] += 1
        return True

    def standing(self, name: str, now: int) -> LaneStanding:
        known = self.of(name)
        tokens = sum(count for second, count in known.tokens.items() if second + 60 > now // 1000)
        counted, under_way = len(self._counted(known, now)), len(self.active(name, now))
        learned = self._learned(known, now)
        return LaneStanding(name, *learned, known.how, counted, tokens, under_way, len(known.queue))
