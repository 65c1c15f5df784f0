"""Messages are answered for only after their rows are on disk, and a faulty one harms no other."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from omni_analytics.adapters.bodies_keys import BodiesKeys
from omni_analytics.adapters.bodies_store import SqlBodies
from omni_analytics.adapters.bodies_tables import BodiesFile
from omni_analytics.adapters.decode import decode_batch
from omni_analytics.adapters.finding import row_found
from omni_analytics.adapters.keeper import Keeper
from omni_analytics.domain.notices import Notice, Recipients
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.recent import Recent
from omni_analytics.domain.rollup import DAY_MS
from omni_analytics.domain.rows import UsageRow
from omni_analytics.ports import Letter, Recorded
from omni_analytics.service import Analytics
from omni_analytics.settings import KEEP_DAYS, AnalyticsSettings, kept_days
from omni_analytics.watching import Watchers
from omni_core.ports.analytics import (
    Breakdown,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Redriven,
    Slice,
    Standing,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_wire.errors import DependencyUnavailable, InvalidRequest, WireError
from omniroute_proto.events.v1 import events_pb2

from tests.unit.analytics.events import T0, attempt_event, batch, request_event


class Message:
    def __init__(self, data: bytes, num_delivered: int = 1, ack_fails: bool = False) -> None:
        self.data = data
        self.num_delivered = num_delivered
        self.answers: list[str] = []
        self.delay = 0.0
        self._ack_fails = ack_fails

    async def ack(self) -> None:
        if self._ack_fails:
            raise DependencyUnavailable("NATS is away")
        self.answers.append("ack")

    async def nak(self, delay: float) -> None:
        self.delay = delay
        self.answers.append("nak")

    async def term(self) -> None:
        self.answers.append("term")


class Store:
    """Remembers; refuses a row whose id is in ``refused``; can be switched off."""

    def __init__(self) -> None:
        self.rows: list[UsageRow] = []
        self.calls = 0
        self.refused: set[str] = set()
        self.reached: dict[str, Reached] = {}
        self.away = False
        self.forgotten: list[int] = []

    async def record(self, rows: Sequence[UsageRow]) -> Recorded:
        self.calls += 1
        if self.away:
            raise DependencyUnavailable("the disk is full")
        if any(row.id in self.refused for row in rows):
            raise WireError("no")
        self.rows.extend(rows)
        return Recorded(attempts_stored=len(rows))

    async def key_use(self) -> dict[str, KeyUse]:
        raise AssertionError("nobody asks")

    async def query(self, query: UsageQuery) -> UsageReport:
        return UsageReport(UsageTotals(), {})

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        return ()

    async def due_notices(self, now_ms: int, most: int, webhooks: Sequence[str]) -> list[Notice]:
        return []

    async def settle_notice(self, notice: Notice, state: str) -> None:
        raise AssertionError("there is none")

    async def listed(self, asked: Listing) -> Listed:
        return Listed()

    async def keep_reached(self, reached: Sequence[Reached], notify: Recipients) -> list[Reached]:
        assert not any(map(notify, reached))
        if self.away:
            raise DependencyUnavailable("the disk is full")
        news = [each for each in reached if each.id not in self.reached]
        self.reached |= {each.id: each for each in news}
        return list({each.id: each for each in news}.values())

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        return ()

    async def kept_from_ms(self) -> int:
        return 7

    async def forget_some(self, before_ms: int) -> bool:
        self.forgotten.append(before_ms)
        return len(self.forgotten) < 3


class Grave:
    def __init__(self) -> None:
        self.letters: list[tuple[bytes, str, int]] = []
        self.away = False

    async def bury(self, data: bytes, reason: str, deliveries: int) -> None:
        if self.away:
            raise DependencyUnavailable("NATS is away")
        self.letters.append((data, reason, deliveries))

    async def behind(self, id_: int) -> Letter | None:
        found = [(number, letter) for number, letter in enumerate(self.letters, 1) if letter[0] and number > id_]
        return Letter(found[0][0], *found[0][1]) if found else None

    async def forget(self, id_: int) -> None:
        if self.away:
            raise DependencyUnavailable("NATS is away")
        self.letters[id_ - 1] = b"", "", 0

    async def count(self) -> int:
        return sum(data != b"" for data, _, _ in self.letters)


class Meter:
    def __init__(self) -> None:
        self.batches = self.dead_letters = self.kept = self.future = 0
        self.handled: dict[str, int] = {}
        self.lag = 0.0
        self.limits: list[str] = []

    def committed(self, recorded: Recorded, messages: int, seconds: float) -> None:
        self.batches += messages

    def buried(self) -> None:
        self.dead_letters += 1

    def redriven(self, result: str, letters: int) -> None:
        self.handled[result] = self.handled.get(result, 0) + letters

    def dead(self, letters: int) -> None:
        self.kept = letters

    def notified(self, result: str) -> None:
        raise AssertionError("nobody is told")

    def reached(self, of: str) -> None:
        self.limits.append(of)

    def ahead(self, rows: int) -> None:
        self.future += rows

    def behind(self, seconds: float) -> None:
        self.lag = seconds


class Stage:
    def __init__(self) -> None:
        self.store, self.grave, self.meter = Store(), Grave(), Meter()
        self.watchers = Watchers(Recent("keeper"), row_found, apart=0.01, silence=0.05)
        self.service = Analytics(
            self.store, decode_batch, self.grave, self.meter, five, AnalyticsSettings(retry_delay=1.0),
            watchers=self.watchers, bodies=SqlBodies(BodiesFile(Path("unused")), BodiesKeys(Path(), {})),
            now_ms=lambda: T0 + 10_000, clock=lambda: 0.0,
        )  # fmt: skip


async def five() -> int:
    return 5


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_all_messages_of_a_fetch_share_one_transaction(stage: Stage) -> None:
    messages = [Message(batch(attempt_event(id=f"a{n}"), request_event(id=f"r{n}"))) for n in range(5)]
    await stage.service.take(messages)
    assert stage.store.calls == 1
    assert len(stage.store.rows) == 10
    assert [message.answers for message in messages] == [["ack"]] * 5
    assert stage.meter.batches == 5
    assert stage.meter.lag == pytest.approx(9.1)


async def test_nothing_is_acknowledged_when_the_store_cannot_keep_it(stage: Stage) -> None:
    stage.store.away = True
    messages = [Message(batch(attempt_event())), Message(b"\xff\xff", num_delivered=9)]
    with pytest.raises(DependencyUnavailable):
        await stage.service.take(messages)
    assert [message.answers for message in messages] == [["nak"], ["nak"]]
    assert stage.grave.letters == []


async def test_a_lost_acknowledgement_does_not_stop_the_others(stage: Stage) -> None:
    lost, other = Message(batch(attempt_event()), ack_fails=True), Message(batch(request_event()))
    await stage.service.take([lost, other])
    assert other.answers == ["ack"]


async def test_a_poison_message_is_tried_four_times_again_and_then_put_aside(stage: Stage) -> None:
    delays = []
    for delivery in range(1, 5):
        message = Message(b"\xff\xff", delivery)
        await stage.service.take([message])
        assert message.answers == ["nak"]
        delays.append(message.delay)
    assert delays == [1, 2, 4, 8]
    last = Message(b"\xff\xff", 5)
    await stage.service.take([last])
    assert last.answers == ["term"]
    assert stage.grave.letters == [(b"\xff\xff", "not an events.v1.EventBatch", 5)]
    assert stage.meter.dead_letters == 1


async def test_it_is_kept_while_the_dead_letters_cannot_be_written(stage: Stage) -> None:
    stage.grave.away = True
    message = Message(b"\xff\xff", 5)
    await stage.service.take([message])
    assert message.answers == ["nak"]
    assert stage.meter.dead_letters == 0


async def test_what_is_right_in_a_faulty_message_is_counted(stage: Stage) -> None:
    message = Message(batch(attempt_event(id=""), request_event()))
    await stage.service.take([message])
    assert [row.id for row in stage.store.rows] == ["r1"]
    assert message.answers == ["nak"]


async def test_a_row_the_store_refuses_condemns_its_own_message_only(stage: Stage) -> None:
    stage.store.refused = {"bad"}
    good, bad = Message(batch(attempt_event(id="good"))), Message(batch(attempt_event(id="bad")), 5)
    await stage.service.take([good, bad])
    assert good.answers == ["ack"]
    assert bad.answers == ["term"]
    assert "cannot be stored" in stage.grave.letters[0][1]


async def test_a_question_must_make_sense(stage: Stage) -> None:
    assert (await stage.service.query(UsageQuery(group_by="model"))).groups == {}
    for bad in (UsageQuery(group_by="colour"), UsageQuery(from_ms=-1), UsageQuery(until_ms=2**63)):
        with pytest.raises(InvalidRequest) as caught:
            await stage.service.query(bad)
        assert caught.value.param in ("group_by", "from", "until")
    assert msgspec.structs.replace(UsageQuery(), group_by="key").group_by == "key"


async def test_what_is_not_counted_yet_is_told_with_what_is_kept(stage: Stage) -> None:
    assert await stage.service.standing() == Standing(5, 7)


async def test_nothing_is_forgotten_before_what_was_delivered_is_counted(stage: Stage) -> None:
    caught_up = False
    keeper = Keeper(stage.store, AnalyticsSettings(keep_days=3), lambda: T0, lambda: caught_up)
    await keeper.forget()
    assert stage.store.forgotten == []
    caught_up = True
    await keeper.forget()
    assert stage.store.forgotten == [T0 - T0 % DAY_MS - 3 * DAY_MS] * 3, "as long as there may be more"


@pytest.mark.parametrize("given", ["1", "-3", "x", "2.5", "9" * 9])
def test_rows_are_kept_for_ever_or_for_some_days(given: str) -> None:
    assert kept_days({}) == kept_days({KEEP_DAYS: "0"}) == 0
    assert kept_days({KEEP_DAYS: "30"}) == 30
    with pytest.raises(InvalidRequest):
        kept_days({KEEP_DAYS: given})


async def test_a_limit_that_is_nearly_used_up_is_told_once_however_often_it_comes(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"name": "team/core/soft", "of": "tokens", "window": "day", "most": 900, "used": 800, "percent": 80}
    event = events_pb2.Event(limit=events_pb2.LimitEvent(id="one", at_ms=T0, **said))  # type: ignore[arg-type]
    messages = [Message(batch(event, attempt_event(id=f"a{number}"))) for number in range(2)]
    await stage.service.take(messages)
    assert [message.answers for message in messages] == [["ack"]] * 2
    assert len(stage.store.rows) == 2
    assert stage.meter.limits == ["tokens"]
    (told,) = [record for record in caplog.records if "a limit is used" in record.message]
    assert {key: told.__dict__["fields"][key] for key in said} == said
    event.limit.id = "two"
    await stage.service.take([Message(batch(event))])
    assert stage.meter.limits == ["tokens"] * 2


async def test_a_letter_is_counted_after_all_once_and_one_that_cannot_be_read_stays_and_says_why() -> None:
    stage = Stage()
    good, torn = batch(attempt_event(id="a"), request_event(id="r")), b"\xff\xff"
    for data in (good, torn, batch(attempt_event(id="bad"))):
        await stage.grave.bury(data, "who knows", 5)
    stage.store.refused = {"bad"}
    page = await stage.service.dead_letters(0, 2)
    assert [(one.id, one.events, one.fault) for one in page.letters] == [
        *((1, 2, ""), (2, 0, "not an events.v1.EventBatch")),
    ]
    assert (page.total, page.next) == (3, 2)
    assert [one.id for one in (await stage.service.dead_letters(2, 2)).letters] == [3]
    done = await stage.service.redrive((1, 2, 3, 99))
    assert done.counted == (1,)
    assert done.stayed == {2: "not an events.v1.EventBatch", 3: "cannot be stored: no"}
    assert [row.id for row in stage.store.rows] == ["a", "r"]
    assert await stage.service.redrive((1,)) == Redriven()
    assert (stage.meter.handled, stage.meter.kept) == ({"counted": 1, "stayed": 2}, 2)
    assert await stage.service.discard((1, 2)) == (2,)
    assert stage.meter.kept == 1
    with pytest.raises(InvalidRequest):
        await stage.service.redrive(tuple(range(1, 102)))


async def test_a_letter_that_is_counted_while_nats_or_the_store_is_away_is_there_still() -> None:
    stage = Stage()
    await stage.grave.bury(batch(attempt_event(id="a")), "who knows", 5)
    stage.store.away = True
    with pytest.raises(DependencyUnavailable):
        await stage.service.redrive((1,))
    stage.store.away, stage.grave.away = False, True
    with pytest.raises(DependencyUnavailable):
        await stage.service.redrive((1,))
    stage.grave.away = False
    assert (await stage.service.redrive((1,))).counted == (1,)


async def test_an_attempt_of_the_future_stands_where_it_says_and_is_marked(stage: Stage) -> None:
    """Five minutes are within what clocks may differ by; now is ten seconds after ``T0``."""
    near, far = T0 + 10_000 + 300_000, T0 + 10_000 + 300_001
    events = [attempt_event(), attempt_event(id="a2", started_ms=near), attempt_event(id="a3", started_ms=far)]
    message = Message(batch(*events, request_event(started_ms=far)))
    await stage.service.take([message])
    assert message.answers == ["ack"]
    marks = {row.id: (row.started_ms, getattr(row, "suspect", "")) for row in stage.store.rows}
    assert marks == {"a1": (T0, ""), "a2": (near, ""), "a3": (far, "clock_ahead"), "r1": (far, "")}
    assert stage.meter.future == 2


async def test_what_a_later_version_says_besides_is_passed_over_and_its_outcomes_are_kept(stage: Stage) -> None:
    event = attempt_event(outcome="teleported", pricing="haggled").SerializeToString()
    fresh = events_pb2.Event.FromString(event)
    unknown = b"\xfa\x07\x03new"  # field 127
    attempt = fresh.attempt.SerializeToString() + unknown
    wrapped = b"\x0a" + _length(attempt) + attempt
    data = events_pb2.EventBatch(batch_id="b").SerializeToString() + b"\x1a" + _length(wrapped) + wrapped
    message = Message(data)
    await stage.service.take([message])
    assert message.answers == ["ack"]
    (row,) = stage.store.rows
    assert (row.id, row.outcome, row.pricing) == ("a1", "teleported", "haggled")


def _length(data: bytes) -> bytes:
    count = len(data)
    return bytes([count]) if count < 128 else bytes([count & 127 | 128, count >> 7])
