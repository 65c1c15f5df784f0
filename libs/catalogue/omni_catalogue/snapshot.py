"""The configuration in force, as every service sees it: immutable, numbered, without secrets.

Auth compiles it from the configuration file and its own keys and publishes it; the JSON form is what crosses the bus
and what a router keeps on disk.
"""

from collections.abc import Iterable, Iterator

import msgspec
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_catalogue.bodies import Bodies
from omni_catalogue.guard import FORWARDED_FOR, Addresses, Ban, Cors, Guard
from omni_catalogue.notify import Webhook
from omni_catalogue.prices import Above as Above
from omni_catalogue.prices import Dated, History, Terms, history
from omni_catalogue.prices import Price as Price
from omni_catalogue.proxies import Egress, Proxy
from omni_catalogue.quotas import Quota
from omni_catalogue.rules import Rules
from omni_catalogue.scopes import Scopes
from omni_catalogue.windows import Window, window_at

# By format: the products that requests of an account can look like.
IDENTITIES = {WireFormat.CLOUDCODE_GENERATE: ("antigravity",), WireFormat.CURSOR_CHAT: ("cursor",)}
TIERS = ("subscription", "api_key", "cheap", "free")
# What of its two ways to answer a provider has: streams are its only one, or it has none, or both.
STREAMING = ("both", "only", "never")
# How a provider is asked to go on with a text that another broke off: by its own last words, by words, or not at all.
RESUMES = ("prefill", "prompt", "off")
# In which order the targets of a combo, or the accounts of a provider, are tried.
STRATEGIES = (
    *("fill-first", "round-robin", "weighted", "random", "p2c", "least-used"),
    *("cost-optimized", "lowest-latency", "usage-headroom", "cache-affinity"),
)


# What a limit does when it is used up: it refuses; it lets pass and warns; it lets pass.
MODES = ("hard", "soft", "shadow")


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How fast something may be asked, 0 for any: requests and tokens (input and output) in a minute, one request not
    sooner than ``min_gap`` seconds after another, so many under way at once."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    min_gap: float = 0.0
    concurrent: int = 0


_ANY_RATE = RateLimit()


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` "*" passes any id through. Sizes in tokens, 0 when unknown.

    ``price`` is what everybody pays who has no ``terms``, until one of its ``changes``, which are from the first.
    ``reasons`` is whether it takes parameters on thinking, None when unknown. ``streaming`` is one of ``STREAMING``,
    empty for its provider's. ``rate_limit`` is that of each account for it.
    """

    id: str
    price: Price | None = None
    context: int = 0
    max_output: int = 0
    reasons: bool | None = None
    streaming: str = ""
    rate_limit: RateLimit = _ANY_RATE
    changes: tuple[Dated, ...] = ()
    terms: tuple[Terms, ...] = ()

    def pays(self, account: str, organisation: str) -> History:
        """What an organisation pays at an account (id), from the first price to the last."""
        return history(self.price, self.changes, self.terms, account, organisation)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One credential at a provider. ``id`` is "provider/name"; ``secret_version`` changes when the secret does, and is
    empty for an account that needs none. ``project`` is what the provider books its use to, where it wants to be told
    (Google's project, Kiro's profile ARN); ``identity`` the product of its vendor that requests shall look like, which
    nobody gets who did not ask for it; ``client_version`` and ``machine_id`` what that product says of itself.
    ``weight`` is its share where its provider's strategy is "weighted". ``quota`` is what its provider gives it, None
    where nobody looks after that. ``egress`` are the ways by which its calls go out, the next one where the
    proxy of the one before is broken; empty for any connection."""

    id: str
    name: str
    secret_version: str
    project: str = ""
    identity: str = ""
    client_version: str = ""
    machine_id: str = ""
    weight: int = 1
    rate_limit: RateLimit = _ANY_RATE
    quota: Quota | None = None
    egress: tuple[Egress, ...] = ()


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. ``first_byte`` bounds the wait for a stream's first byte, ``idle`` the silence between two,
    ``total`` a whole answer that is not streamed."""

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 60.0
    total: float = 600.0


class Deadlines(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one place says of ``Timeouts``; None is for the wider place to say."""

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None
    total: float | None = None

    def over(self, timeouts: Timeouts) -> Timeouts:
        """``timeouts``, which hold for a wider place, with what is said here."""
        if self == _UNSAID:
            return timeouts
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(timeouts, **said)


_UNSAID = Deadlines()


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """``strategy`` is one of ``STRATEGIES``, for its accounts; ``sticky`` how many requests in a row a turn of
    round-robin has; ``resumes`` one of ``RESUMES``; ``hedge`` None is the routing's; ``rate_limit`` is that of all
    accounts together."""

    id: str
    format: WireFormat
    base_url: str
    tier: str = "api_key"
    allow_private_address: bool = False
    accounts: tuple[Account, ...]
    models: tuple[Model, ...]
    streaming: str = "both"
    rules: Rules = Rules()
    strategy: str = "fill-first"
    sticky: int = 1
    resumes: str = "prompt"
    timeouts: Deadlines = Deadlines()
    rate_limit: RateLimit = _ANY_RATE
    hedge: "Hedge | None" = None

    def model(self, model_id: str) -> Model | None:
        """The exact entry for ``model_id``, else the wildcard's with the id filled in, else None."""
        wildcard = None
        for model in self.models:
            if model.id == model_id:
                return model
            if model.id == "*":
                wildcard = model
        return msgspec.structs.replace(wildcard, id=model_id) if wildcard is not None else None


class MidStream(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about streams that break. The first ``hold_tokens``, or what comes in ``hold_seconds``, whichever is
    sooner over, is kept back, so that another candidate can begin anew unseen; 0 and 0 keep nothing back. With
    ``resume`` another candidate goes on with a text that has broken off later."""

    hold_tokens: int = 0
    hold_seconds: float = 0.0
    resume: bool = False

    @property
    def holds(self) -> bool:
        return self.hold_tokens > 0 or self.hold_seconds > 0


class Hedge(msgspec.Struct, frozen=True, kw_only=True):
    """When a second candidate is asked besides one whose stream has not begun: ``after`` seconds, or, where that is 0,
    after the time in which 95 of 100 streams of that account and model begin, and no sooner than after ``least``. Of
    100 requests, ``most_extra`` may do so; 0 is none."""

    after: float = 0.0
    least: float = 0.2
    most_extra: int = 0


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in a combo: a target, "provider/model", or a combo by its name with what stands in that, which it
    puts in order by its own ``strategy`` when its turn comes."""

    name: str
    weight: int = 1
    strategy: str = "fill-first"
    sticky: int = 1
    nodes: tuple["Node", ...] = ()


class Combo(msgspec.Struct, frozen=True, kw_only=True):
    """A named chain of "provider/model" targets. ``strategy`` is one of ``STRATEGIES`` (a reader takes one that it does
    not know for "fill-first"), ``sticky`` as a provider's; ``weights`` are of the targets that have another than 1;
    ``mid_stream`` and ``hedge`` None are those of the wider place.

    ``nodes`` is what stands in it where other combos do; ``targets`` are then all of theirs, each once, as listed.
    """

    name: str
    strategy: str
    targets: tuple[str, ...]
    rules: Rules = Rules()
    sticky: int = 1
    weights: dict[str, int] = {}
    mid_stream: MidStream | None = None
    nodes: tuple[Node, ...] = ()
    timeouts: Deadlines = Deadlines()
    hedge: Hedge | None = None


def leaves(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The targets of a combo and of all combos in it, each once, as listed."""
    return tuple(dict.fromkeys(_leaves(nodes)))


def _leaves(nodes: Iterable[Node]) -> Iterator[str]:
    for node in nodes:
        yield from _leaves(node.nodes) if node.nodes else (node.name,)


class Wildcard(msgspec.Struct, frozen=True, kw_only=True):
    """An alias of many ids: in ``name`` "*" is any run of characters and "?" is one. ``target`` is a combo, a
    "provider/model" or a bare id; a "*" in it is what the first one of the name stands for."""

    name: str
    target: str


_TOKENS = ("tokens", "input", "output")


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A USD cap per ``window`` ("day", "week", "month", "total"; calendar windows in UTC).

    ``unpriced`` says what happens to a model without a price: "refuse", "serve" (not counted, marked) or "assume",
    and then ``assumed_price`` is taken for it. ``unaffordable`` says what happens to a request that may cost more than
    is left: "clamp" lowers its output limit to what can be paid for, "refuse" refuses it.
    """

    nano_usd: int
    window: str = "month"
    unpriced: str = "refuse"
    assumed_price: Price | None = None
    unaffordable: str = "clamp"


class Allowance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``most`` of something in a ``window``: ``of`` "requests", "input", "output" or "tokens" (of both); or, without a
    window, "concurrent", which are attempts under way. The windows are a budget's, and "minute" and "5h", which
    roll.

    One that is "soft" refuses nothing, and may be of "usd" (nano-USD) as well; where its use comes to one of the
    percents of ``warn`` an event tells so, and where that of a "hard" one does that has some. One that is "shadow" is
    only counted."""

    of: str
    most: int
    window: str = ""
    mode: str = "hard"
    warn: tuple[int, ...] = ()


# Whose a limit of what is upstream is: a candidate of its own, and no key's.
UPSTREAM = ("provider", "account", "model", "tier")


LIMIT_OWNER = "limit:"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What several keys may use together; 0 requests means no limit. ``of`` is "team", "user", "key" or "tag", and
    ``owner`` its name; both are empty where it is for all keys of the ``organisation``. One ``of`` what is ``UPSTREAM``
    is for what all keys use there: its owner is a provider's id, "provider/account", "provider/model" or a tier, and
    its requests are attempts. ``zone`` and ``anchor`` are those of its calendar windows, as in ``windows``. ``rolling``
    is a budget in "minute" or "5h", told of at the percents of ``rolling_warn``; a reader of a version before knows
    none of these. While Redis is away, who is kept to it is refused where ``when_away`` is "closed", and served from
    what was leased of it where it is "open"; "" refuses nobody at any time."""

    id: str
    name: str
    requests_per_minute: int = 0
    budget: Budget | None = None
    of: str = ""
    owner: str = ""
    organisation: str = "default"
    allowances: tuple[Allowance, ...] = ()
    zone: str = ""
    anchor: str = ""
    rolling: Budget | None = None
    rolling_warn: tuple[int, ...] = ()
    when_away: str = "closed"

    def counted(self) -> "Limit":
        """As it is held: with its ``rolling`` budget among its allowances."""
        if self.rolling is None:
            return self
        money = Allowance(of="usd", most=self.rolling.nano_usd, window=self.rolling.window, warn=self.rolling_warn)
        return msgspec.structs.replace(self, allowances=(*self.allowances, money))

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """What must be able to tell what an attempt costs."""
        return tuple(each for each in (self.budget, self.rolling) if each is not None)

    def window(self, name: str, now: float) -> Window:
        """The window ``name`` of it as the ledger is asked for it, at about ``now`` (epoch seconds)."""
        return window_at(name, self.zone, self.anchor, now) if self.zone or self.anchor else name

    @property
    def window_owner(self) -> str:
        """Whose windows it has in the ledger: no key's id looks like that."""
        return f"{LIMIT_OWNER}{self.id}"

    def warns_by(self, allowance: Allowance) -> bool:
        """Whether it is there to tell of percents of the budget or the requests per minute, which cannot themselves."""
        return allowance.mode != "hard" and (self.budget is not None or self.requests_per_minute > 0)

    @property
    def bounds_tokens(self) -> bool:
        """Whether what is asked for must have a bound, as no more than that may be used."""
        return any(each.of in _TOKENS and each.mode == "hard" for each in self.allowances)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many there are, or what they cost."""
        return any(each.of in _TOKENS or each.of == "usd" for each in self.allowances)

    @property
    def full_name(self) -> str:
        """As the management API names it."""
        return "/".join(filter(None, (self.of, self.owner, self.name)))


class KeyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an API key may do. ``models`` are glob patterns over requested ids; 0 requests means no limit. ``limits``
    are ids of those that it shares, those of its ``tags`` among them; its requests may have more tags, of which the
    limits of its ``organisation`` are. ``when_away`` is as a ``Limit`` has it, of its own requests and budget. Of one
    with ``no_bodies`` nothing that it asks or is answered is ever kept."""

    id: str
    name: str
    role: str = "developer"
    models: tuple[str, ...] = ("*",)
    requests_per_minute: int = 0
    budget: Budget | None = None
    rules: Rules = Rules()
    scopes: Scopes = Scopes()
    limits: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    organisation: str = "default"
    no_bodies: bool = False
    when_away: str = "closed"

    @property
    def own_when_away(self) -> str:
        """ "" where nothing of its own refuses anything."""
        return self.when_away if self.requests_per_minute or self.budget is not None else ""


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``failures`` within ``window`` seconds open it for ``open_for`` seconds; then one probe is let through.

    A rate limit, a refused credential and a spent quota open it at once: for as long as the provider tells, at most
    ``told_longest``, or else for ``limited_for`` (a rate limit) or ``refused_for`` (the others), twice as long each
    time in a row up to ``…_longest``. All in seconds.
    """

    failures: int = 5
    window: int = 60
    open_for: int = 30
    limited_for: int = 1
    limited_longest: int = 120
    refused_for: int = 120
    refused_longest: int = 1800
    told_longest: int = 86_400


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """How a request asked again is answered with the first answer, for ``window`` seconds from its end, where that has
    no more than ``max_bytes``.

    ``fail`` is "refuse" or "open": what becomes of a request with a key while nothing can be recorded. ``request_id``
    is whether a client's ``X-Request-Id`` is a key where it gave no other, and ``dedup`` for how many seconds the same
    request without any is the same one.
    """

    window: float = 86_400.0
    max_bytes: int = 4 * 1024 * 1024
    fail: str = "refuse"
    request_id: bool = False
    dedup: float = 0.0


# Whose vectors are compared where ``Semantic.embeddings`` is no provider's model.
LOCAL_EMBEDDINGS = "local"


class Semantic(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the requests that the cache may answer are answered with the answer to other words of the same meaning.

    ``requests`` is as in ``Caching``, or "off". ``embeddings`` is the "provider/model" whose vectors tell a meaning, or
    ``LOCAL_EMBEDDINGS``; two texts mean the same from a cosine of ``threshold`` on. An answer is found so for ``ttl``
    seconds; of what may be compared with one another the latest ``max_entries`` are. ``timeout`` are the seconds that a
    request may lose to it.
    """

    embeddings: str
    requests: str = "asked"
    threshold: float = 0.95
    ttl: float = 3_600.0
    max_entries: int = 256
    timeout: float = 2.0


class Caching(msgspec.Struct, frozen=True, kw_only=True):
    """``requests`` are those that are answered from the cache: "asked" (whose client asks for it), "deterministic"
    (those whose client set its temperature to 0, too) or "any". An answer lives for ``ttl`` seconds where it has no
    more than ``max_bytes``. ``semantic`` None is off."""

    requests: str = "asked"
    ttl: float = 3_600.0
    max_bytes: int = 1024 * 1024
    semantic: Semantic | None = None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """For how many seconds a request waits for a rate limit to let it through, at the ``longest`` where nobody else can
    answer it, and with ``patience`` rather than go on to the next; and how many may wait at a router, at the ``most``.
    """

    longest: float = 10.0
    patience: float = 0.5
    most: int = 1000


class RetryBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Retries of the whole fleet, in percent of its requests, and how many there are at ``least`` in ten seconds."""

    percent: int = 20
    least: int = 10


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """``retries`` are further tries of the same account; ``breaker`` None is off, and so are ``idempotency``,
    ``caching``, ``queue`` and ``retry_budget``. ``cache`` says nothing any more and is for readers of earlier versions.
    ``learns_rates`` is whether what answers tell of rate limits holds where configuration says nothing."""

    retries: int = 0
    breaker: BreakerPolicy | None = BreakerPolicy()
    cache: bool = False
    default_max_output: int = 32_000
    timeouts: Timeouts = Timeouts()
    mid_stream: MidStream = MidStream()
    hedge: Hedge = Hedge()
    idempotency: Idempotency | None = Idempotency()
    caching: Caching | None = Caching()
    queue: Queue | None = Queue()
    retry_budget: RetryBudget | None = RetryBudget()
    learns_rates: bool = True

    @property
    def learns(self) -> bool:
        """Without breakers everybody is asked always, whatever was learned."""
        return self.learns_rates and self.breaker is not None


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """``max_body_bytes`` bounds a request body. ``trusted_proxies`` are the networks of those whose word on a client's
    address is believed, in the header ``trusted_header``. ``hosts`` are the names a request may be for, "*.x" for all
    below x; without any they are what is no name of the public DNS. ``cors`` is of the models' paths,
    ``management_cors`` of ``/api``."""

    host: str = "127.0.0.1"
    port: int = 20128
    require_api_key: bool = True
    max_body_bytes: int = 20 * 1024 * 1024
    trusted_proxies: tuple[str, ...] = ()
    trusted_header: str = FORWARDED_FOR
    hosts: tuple[str, ...] = ()
    addresses: Addresses = Addresses()
    bans: tuple[Ban, ...] = ()
    guard: Guard = Guard()
    cors: Cors = Cors()
    management_cors: Cors = Cors()


class Off(msgspec.Struct, frozen=True, kw_only=True):
    """Names of what is configured and nobody gets, so that nothing else is served for them and their being asked for is
    told from a slip of the pen: ``models`` are "provider/model", or "provider/*", of providers that are switched off
    or blocked, or have no account that is on; ``combos`` are those that are switched off, and their aliases, ``idle``
    those that stand for nothing that is on."""

    models: tuple[str, ...] = ()
    combos: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One revision. Revisions only grow; ``created`` is in epoch seconds. ``checked_keys`` is whether all keys have the
    shape of ``keyshape``, so that what has not is none. ``providers`` and ``combos`` are those that are on, with the
    accounts and targets that are: a reader that does not know ``off`` yet uses nothing that is off either.
    ``wildcards`` are as listed; ``aka`` are further names of providers, on or off, with the id of each.
    ``auto`` is whether "auto/<id>" stands for an id that one provider lists too. ``proxies`` are all that there are,
    and ``echo_url`` answers the address that it was asked from, "" where none is configured. ``bodies`` None keeps
    nobody's. ``egress`` are the ways out of
    what is no account's yet, ``webhooks`` who is told of limits."""

    revision: int
    created: int
    server: Server
    providers: tuple[Provider, ...]
    combos: tuple[Combo, ...]
    keys: tuple[KeyPolicy, ...]
    routing: Routing
    rules: Rules = Rules()
    checked_keys: bool = False
    off: Off = Off()
    limits: tuple[Limit, ...] = ()
    wildcards: tuple[Wildcard, ...] = ()
    aka: dict[str, str] = {}
    auto: bool = False
    proxies: tuple[Proxy, ...] = ()
    echo_url: str = ""
    egress: tuple[Egress, ...] = ()
    bodies: Bodies | None = None
    webhooks: tuple[Webhook, ...] = ()


def encode(snapshot: Snapshot) -> bytes:
    return msgspec.json.encode(snapshot)


def decode(data: bytes) -> Snapshot:
    """Raises ``WireError`` naming the field that is not as it must be."""
    try:
        return msgspec.json.decode(data, type=Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a configuration snapshot: {error}") from error
