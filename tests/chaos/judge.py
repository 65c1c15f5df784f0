"""Whether a cell came out as the table says."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec
from omniroute_proto.events.v1 import events_pb2

from tests.chaos.cells import REST_WORDS, WORDS, Cell
from tests.chaos.dialects import ARGUMENTS, GOOD_ENDS, TOOL, Heard, Wrong, read, read_error
from tests.chaos.faults import NEVER
from tests.chaos.sdks import Replay

_THOUGHTS_BEFORE = "first I read the"


class Answer(msgspec.Struct):
    """What the client has; ``broke`` is how its connection failed, "" when it did not."""

    status: int
    content_type: str
    retry_after: str
    data: bytes
    broke: str
    seconds: float


class Books:
    """What was written down and what is left. ``requests`` by the id that the client gave, then by their own, as there
    must be one only; ``attempts`` by request. ``seen`` counts what came to the provider by model, ``money`` is spent
    and held a key."""

    def __init__(self) -> None:
        self.requests: defaultdict[str, dict[str, events_pb2.RequestEvent]] = defaultdict(dict)
        self.attempts: defaultdict[str, dict[str, events_pb2.AttemptEvent]] = defaultdict(dict)
        self.seen: Counter[str] = Counter()
        self.holds: list[str] = []
        self.circuits: dict[str, tuple[str, bool]] = {}
        self.money: dict[str, tuple[int, int]] = {}

    def add(self, event: events_pb2.Event) -> None:
        if event.HasField("request"):
            self.requests[event.request.request_id][event.request.id] = event.request
        else:
            known = self.attempts[event.attempt.request_id]
            if event.attempt.id not in known or known[event.attempt.id].seq <= event.attempt.seq:
                known[event.attempt.id] = event.attempt


def judge(cell: Cell, answer: Answer, books: Books, replay: Replay) -> list[str]:
    """What is wrong; nothing when all is well."""
    wrong = [*_heard(cell, answer), *_books(cell, books)]
    if not wrong:
        wrong = [*_as_the_sdk_has_it(cell, answer, replay)]
    for model, name in ((cell.first_model, f"{cell.id}a"), (cell.next_model, f"{cell.id}b")):
        wrong = [text.replace(model, name) for text in wrong]
    return wrong


def _heard(cell: Cell, answer: Answer) -> Iterator[str]:
    try:
        yield from _answer(cell, answer)
    except Wrong as error:
        yield str(error)


# ---- what the client has ----


def _answer(cell: Cell, answer: Answer) -> Iterator[str]:
    expected = cell.expected.answer
    if answer.broke:
        yield f"the connection broke: {answer.broke}"
    if expected == "refused":
        if answer.status not in cell.fault.statuses(cell.stream):
            yield f"status {answer.status}, not {cell.fault.statuses(cell.stream)}: {answer.data[:300]!r}"
        wanted = str(cell.fault.retry_after) if cell.fault.retry_after else ""
        if wanted and answer.retry_after != wanted:
            yield f"Retry-After {answer.retry_after!r}, not {wanted!r}"
        read_error(cell.dialect, answer.data, answer.status)
        return
    if answer.status != 200:
        yield f"status {answer.status}: {answer.data[:300]!r}"
        return
    heard = read(cell.dialect, answer.data, cell.stream)
    if expected == "broken":
        yield from _is_broken(cell, heard)
        return
    called = cell.fault.says == "call"
    text = {"first": cell.said, "next": cell.rest, "continued": cell.came + cell.rest}[expected]
    if heard.text != text:
        yield f"it says {heard.text!r}, not {text!r}"
    if heard.ends != GOOD_ENDS[cell.dialect][called] or not heard.last or heard.error is not None:
        yield f"it ends {heard.ends}, last {heard.last}, error {heard.error}"
    if heard.calls != ([(TOOL, ARGUMENTS)] if called else []) or heard.begun != len(heard.calls):
        yield f"it calls {heard.calls} and began {heard.begun}"
    if heard.thinking:
        yield f"it thinks {heard.thinking!r}, which the other target did"


def _is_broken(cell: Cell, heard: Heard) -> Iterator[str]:
    if heard.error is None:
        yield "no error ends it"
    if heard.ends:
        yield f"an end that nobody gave: {heard.ends}"
    if heard.calls:
        yield f"half a call as a whole one: {heard.calls}"
    if heard.text != cell.came:
        yield f"it says {heard.text!r}, not {cell.came!r}"
    thought = _THOUGHTS_BEFORE if cell.fault.says == "thought" else ""
    if heard.thinking != thought:
        yield f"it thinks {heard.thinking!r}, not {thought!r}"


def _as_the_sdk_has_it(cell: Cell, answer: Answer, replay: Replay) -> Iterator[str]:
    made = replay.read(cell.dialect, answer.status, answer.content_type, answer.data, cell.stream)
    expected = cell.expected.answer
    if (expected in ("refused", "broken")) != bool(made.error):
        yield f"the SDK raises {made.error or 'nothing'}"
    if expected == "refused" and made.status != answer.status:
        yield f"the SDK has status {made.status} for {answer.status}"
    text = {"first": cell.said, "next": cell.rest, "continued": cell.came + cell.rest, "broken": cell.came}
    if made.text != text.get(expected, ""):
        yield f"the SDK gives {made.text!r}"


# ---- what the books have ----


def _books(cell: Cell, books: Books) -> Iterator[str]:
    expected = cell.expected
    seen = books.seen[cell.first_model], books.seen[cell.next_model]
    if seen[0] not in cell.fault.calls or seen[1] != expected.calls:
        yield f"the targets saw {seen} requests, not {(cell.fault.calls, expected.calls)}"
    written = list(books.requests[cell.id].values())
    if len(written) != 1:
        yield f"{len(written)} RequestEvents"
        return
    (request,) = written
    attempts = {attempt.model: attempt for attempt in books.attempts[request.id].values()}
    outcomes = {model: attempt.outcome for model, attempt in attempts.items()}
    wanted = {cell.first_model: expected.first} | ({cell.next_model: expected.second} if expected.second else {})
    if outcomes != wanted or len(books.attempts[request.id]) != len(wanted):
        yield f"the attempts are {list(outcomes.values())}, not {list(wanted.values())}"
        return
    first = attempts[cell.first_model]
    kinds = ("",) if cell.strikes == NEVER else cell.fault.kinds(cell.stream)
    if first.error_kind not in kinds:
        yield f"the first attempt's error is {first.error_kind!r}, not {kinds}"
    if (request.outcome, request.attempts) != (expected.request, len(wanted)):
        yield f"the request is {request.outcome} after {request.attempts}, not {expected.request} after {len(wanted)}"
    statuses = cell.fault.statuses(cell.stream) if expected.answer == "refused" else (200,)
    if request.status not in statuses:
        yield f"the request's status is {request.status}, not {statuses}"
    yield from _bill(cell, request, attempts)
    yield from _circuits(cell, books)
    if held := [hold for hold in books.holds if any(attempt.id in hold for attempt in attempts.values())]:
        yield f"still held: {held}"


def _bill(cell: Cell, request: events_pb2.RequestEvent, attempts: dict[str, events_pb2.AttemptEvent]) -> Iterator[str]:
    if request.cost_nano_usd != sum(attempt.cost_nano_usd for attempt in attempts.values()):
        yield "the request's cost is not that of its attempts"
    for attempt in attempts.values():
        if not 0 <= attempt.cost_nano_usd <= attempt.reserved_nano_usd or not attempt.reserved_nano_usd:
            yield f"{attempt.cost_nano_usd} is billed of {attempt.reserved_nano_usd} reserved"
    first, second = attempts[cell.first_model], attempts.get(cell.next_model)
    if bool(first.cost_nano_usd) != cell.expected.billed:
        yield f"the first attempt costs {first.cost_nano_usd}"
    if not cell.expected.billed and (first.usage.input_tokens or first.usage.output_tokens):
        yield f"the first attempt used {first.usage}"
    if cell.expected.billed and not first.usage.input_tokens:
        yield "the first attempt has no input"
    if cell.fault.says == "text":
        if first.outcome == "ok" and first.usage.output_tokens != WORDS:
            yield f"the first attempt said {first.usage.output_tokens} tokens, not {WORDS}"
        if second is not None and second.outcome == "ok" and second.usage.output_tokens != REST_WORDS:
            yield f"the second attempt said {second.usage.output_tokens} tokens, not {REST_WORDS}"
        if first.outcome == "partial" and first.usage.output_tokens < cell.after:
            yield f"{cell.after} words went by, and {first.usage.output_tokens} tokens are billed"
    if second is not None and second.outcome == "failed" and second.cost_nano_usd:
        yield "a target that was never called is paid for"


def _circuits(cell: Cell, books: Books) -> Iterator[str]:
    account = f"{cell.first_provider}/a"
    seat = f"{account} {cell.first_model}"
    found = {name: books.circuits[name] for name in (account, seat) if name in books.circuits}
    left_alone = cell.fault.circuit if cell.strikes != NEVER else None
    wanted = {}
    if left_alone is not None:
        wanted[account if left_alone.which == "account" else seat] = (left_alone.cause, left_alone.told)
    if found != wanted:
        yield f"left alone are {found}, not {wanted}"
    if (other := f"{cell.next}/a {cell.next_model}") in books.circuits:
        yield f"the next target is left alone: {books.circuits[other]}"


def money_is_right(chosen: list[Cell], books: Books) -> list[str]:
    """What is spent of each key's budget is what its requests cost, and nothing is held."""
    costs: Counter[str] = Counter()
    for cell in chosen:
        for request in books.requests[cell.id].values():
            costs[request.key_id] += request.cost_nano_usd
    wrong = [f"still held: {books.holds}"] if books.holds else []
    for key in {*books.money, *costs}:
        spent, held = books.money.get(key, (0, 0))
        if (spent, held) != (costs[key], 0):
            wrong.append(f"{key} has {spent} spent and {held} held; its requests cost {costs[key]}")
    return wrong
