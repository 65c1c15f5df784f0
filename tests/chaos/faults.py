"""The faults, and what must come of each: the one table that the wall is checked against. It says what the
documentation promises (docs/routing.md, "When one fails" and "In mid-stream"), in no words of the code's."""

import msgspec

from tests.chaos.dialects import DIALECTS

BEFORE, WITHIN, NEVER = "before the first byte", "within the answer", "never"


class Circuit(msgspec.Struct, frozen=True):
    """What is left alone afterwards: "account" or "seat" (the account for that model), why, and whether the provider
    itself told how long."""

    which: str
    cause: str
    told: bool = False


FAILING = Circuit("seat", "failing")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``steps`` are the simulator's in a stream, where "{n}" is the event that it comes after, and ``whole`` those in a
    body (None: there is no such thing). ``strikes`` says when it hits a stream; a body it hits before the first byte or
    never.

    ``status`` are those that a client may be told where nothing was sent and nobody else can answer, ``kind`` what the
    books call it. ``says`` is what is being said as it strikes: "text", "call" or "thought". ``calls`` is how many
    requests the provider may see: a connection that was kept and is found closed may have been closed before, so the
    request is sent again. ``own`` has an account to itself, as the fault is the account's. ``hasty`` needs short
    timeouts.
    """

    name: str
    steps: str
    whole: str | None = ""
    strikes: str = BEFORE
    strikes_whole: str = BEFORE
    status: tuple[int, ...] = (502,)
    kind: tuple[str, ...] = ("upstream_failed",)
    whole_kind: tuple[str, ...] = ()
    whole_status: tuple[int, ...] = ()
    retry_after: int = 0
    circuit: Circuit | None = FAILING
    says: str = "text"
    calls: tuple[int, ...] = (1,)
    own: bool = False
    hasty: bool = False
    port: str = ""

    def struck(self, stream: bool) -> str:
        return self.strikes if stream else self.strikes_whole

    def statuses(self, stream: bool) -> tuple[int, ...]:
        return self.status if stream or not self.whole_status else self.whole_status

    def kinds(self, stream: bool) -> tuple[str, ...]:
        return self.kind if stream or not self.whole_kind else self.whole_kind


def _status(status: int, *, name: str = "", steps: str = "", circuit: Circuit | None = None, **more: object) -> Fault:
    kind = "upstream_rejected" if status < 500 else "upstream_failed"
    said = f"status:{status}{steps}"
    return Fault(
        name=name or f"{status}", steps=said, whole=said, status=(status,), kind=(kind,), circuit=circuit,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


# Of each kind of content what nothing else has; written as %xx in part, as an echo of the script is not meant.
UTF8, THOUGHT, ARGUMENT = "京", "question", "ltramar"


def _cut_in(word: str) -> str:
    first, rest = word[0], word[1:]
    return "cut-in:" + "".join(f"%{byte:02X}" for byte in first.encode()) + rest


_INTERRUPTED = ("stream_interrupted",)

FAULTS: tuple[Fault, ...] = (
    # ---- no answer ----
    Fault(name="refused connection", steps="", own=True, port="closed", calls=(0,), kind=("upstream_unreachable",),
          circuit=Circuit("account", "failing")),
    Fault(name="reset", steps="reset", whole="reset", own=True, calls=(1, 2), kind=("upstream_unreachable",),
          circuit=Circuit("account", "failing")),
    Fault(name="hang before headers", steps="hang", whole="hang", hasty=True, status=(504,),
          kind=("upstream_timeout",)),
    # ---- another status ----
    _status(400), _status(403), _status(404), _status(408), _status(409), _status(413), _status(422),
    _status(401, own=True, circuit=Circuit("account", "refused")),
    _status(402, own=True, circuit=Circuit("account", "quota")),
    _status(429, circuit=Circuit("seat", "rate_limit")),
    _status(429, name="429 with Retry-After", steps="+retry-after:700", retry_after=700,
            circuit=Circuit("seat", "rate_limit", True)),
    _status(500, circuit=FAILING), _status(529, circuit=FAILING),
    _status(503, name="503 with Retry-After", steps="+retry-after:700", retry_after=700,
            circuit=Circuit("seat", "failing", True)),
    _status(502, name="502 with a page", steps="+html", circuit=FAILING),
    # ---- 200, and no answer ----
    Fault(name="200 with an error", steps="error-200", whole="error-200", status=(500, 502)),
    Fault(name="200 with nothing", steps="empty", whole="empty", kind=("upstream_failed", "stream_interrupted")),
    Fault(name="200 with a page", steps="html-200", whole="html-200"),
    Fault(name="stream under another content type", steps="type:text/plain", whole=None),
    Fault(name="cut before the first event", steps="cut:0", whole="truncate",
          kind=("upstream_failed", "stream_interrupted")),
    Fault(name="malformed from the start", steps="malformed:0", whole="malformed"),
    Fault(name="error event from the start", steps="error-event:0", whole=None, status=(500, 502)),
    # ---- within the answer ----
    Fault(name="cut", steps="cut:{n}", whole="cut", strikes=WITHIN, kind=_INTERRUPTED,
          whole_kind=("upstream_failed", "stream_interrupted")),
    Fault(name="body that ends early", steps="clean-cut:{n}", whole=None, strikes=WITHIN, kind=_INTERRUPTED),
    Fault(name="cut inside a character", steps=_cut_in(UTF8), whole=_cut_in(UTF8), strikes=WITHIN, kind=_INTERRUPTED),
    Fault(name="cut inside a tool call", steps="tools+" + _cut_in(ARGUMENT), whole="tools+" + _cut_in(ARGUMENT),
          strikes=WITHIN, says="call", kind=_INTERRUPTED),
    Fault(name="cut inside reasoning", steps="think:14+" + _cut_in(THOUGHT), whole="think:14+" + _cut_in(THOUGHT),
          strikes=WITHIN, says="thought", kind=_INTERRUPTED),
    Fault(name="stall", steps="stall:{n}", whole="stall", strikes=WITHIN, hasty=True, status=(504,),
          kind=("upstream_timeout",)),
    Fault(name="malformed line", steps="malformed:{n}", whole=None, strikes=WITHIN,
          kind=("upstream_failed", "stream_interrupted")),
    Fault(name="error event", steps="error-event:{n}", whole=None, strikes=WITHIN, status=(500, 502)),
    # ---- strange, and no fault ----
    Fault(name="slow drip", steps="drip:250", whole="drip:250", strikes=NEVER, hasty=True, whole_status=(504,),
          whole_kind=("upstream_timeout",)),
    Fault(name="writes that part characters", steps="split-utf8", whole="split-utf8", strikes=NEVER,
          strikes_whole=NEVER, circuit=None),
)  # fmt: skip


class Outcome(msgspec.Struct, frozen=True):
    """``answer`` is what the client has: "first" or "next" (that target's, whole), "refused" (an HTTP error), "broken"
    (what came, then an error), "continued" (what came, then the next target's). ``first`` and ``second`` are how the
    books have the attempts, "" for none; ``calls`` what the second target sees; ``billed`` whether the first costs."""

    answer: str
    first: str
    second: str = ""
    calls: int = 0
    billed: bool = False

    @property
    def request(self) -> str:
        return {"refused": "failed", "broken": "partial"}.get(self.answer, "ok")


_BROKEN = Outcome("broken", "partial", billed=True)
# By when it strikes, how the answer is given, and whether there is another target.
OUTCOMES: dict[tuple[str, str, bool], Outcome] = {
    **{
        (strikes, mode, has_next): outcome
        for mode in ("relayed", "converted", "held", "resumed")
        for strikes, has_next, outcome in (
            (BEFORE, True, Outcome("next", "failed", "ok", 1)),
            (BEFORE, False, Outcome("refused", "failed")),
            (NEVER, True, Outcome("first", "ok", billed=True)),
            (NEVER, False, Outcome("first", "ok", billed=True)),
        )
    },
    (WITHIN, "relayed", True): _BROKEN,
    (WITHIN, "relayed", False): _BROKEN,
    (WITHIN, "converted", True): _BROKEN,
    (WITHIN, "converted", False): _BROKEN,
    (WITHIN, "held", True): Outcome("next", "failed", "ok", 1, billed=True),
    (WITHIN, "held", False): Outcome("refused", "failed", billed=True),
    (WITHIN, "resumed", True): Outcome("continued", "partial", "ok", 1, billed=True),
    (WITHIN, "resumed", False): _BROKEN,
}
# Half a thought cannot be gone on with: the next target is looked at, and never called.
BROKEN_THOUGHT = Outcome("broken", "partial", "failed", 0, billed=True)

FIRST_EVENTS = dict(zip(DIALECTS, (1, 4, 3, 0, 0), strict=True))
"""How many events the simulator sends in each format before the first word."""
