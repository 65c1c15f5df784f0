"""What ``/api/*`` takes and gives, as OpenAPI shows it. Money is given twice: exact decimal USD and nano-USD."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from omni_catalogue.scopes import Scopes
from omni_core.component import Check
from omni_core.ports.analytics import KeyUse, UsagePoint, UsageTotals
from omni_core.ports.audit import AuditEntry, AuditVerdict
from omni_core.ports.auth import Identity, KeyInfo, NewKey
from omni_core.ports.configuration import Applied, ConfigObject, ObjectChange
from omni_core.ports.quota import AllowanceState, BreakerState, KeyState, LimitState, QuotaSnapshot, RateState
from omni_wire.latency import Counts, percentile
from pydantic import BaseModel, ConfigDict, Field

from omni_dashboard.domain.fleet import Process
from omni_dashboard.domain.values import nano_usd, usd
from omni_dashboard.server.quota_schemas import AccountQuotaOut

GroupBy = Literal["key", "model", "provider", "account", "status"]
Grain = Literal["minute", "hour", "day"]
Role = Literal["admin", "developer", "billing", "viewer"]
Endpoint = Literal["chat", "responses", "messages", "gemini", "ollama", "count_tokens", "models"]
Managed = Literal[
    "usage", "usage:read", "keys", "keys:read", "quota", "quota:read", "system", "system:read",
    "config", "config:read", "audit", "audit:read", "bodies", "bodies:read",
]  # fmt: skip
Organisation = Annotated[
    str, Query(max_length=64, pattern=r"^[A-Za-z0-9._-]*$", description="whose; the platform's own admins may ask")
]
Word = Annotated[str, Field(min_length=1, max_length=64)]
Window = Literal["day", "week", "month", "total"]


class FieldProblem(BaseModel):
    """``field`` is a path, such as "limits.requests_per_minute" or "providers[0].tier"; empty for the whole."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457. ``code`` is stable, for programs; ``errors`` is what is wrong with each field, ``param`` the first of
    them."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    param: str | None = None
    errors: list[FieldProblem] | None = None


class About(BaseModel):
    """``endpoint`` is empty when it is the page's own origin followed by /v1."""

    version: str
    endpoint: str


class Me(BaseModel):
    key_id: str
    name: str
    role: str
    organisation: str

    @classmethod
    def of(cls, identity: Identity) -> "Me":
        return cls(key_id=identity.key_id, name=identity.name, role=identity.role, organisation=identity.organisation)


class Totals(BaseModel):
    """Input includes cached and cache-write tokens, output includes reasoning tokens."""

    requests: int
    errors: int
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int
    unpriced_requests: int
    cost_nano_usd: int
    cost_usd: str

    @classmethod
    def of(cls, totals: UsageTotals) -> "Totals":
        return cls(
            requests=totals.requests,
            errors=totals.errors,
            attempts=totals.attempts,
            input_tokens=totals.input_tokens,
            cached_input_tokens=totals.cached_input_tokens,
            cache_write_tokens=totals.cache_write_tokens,
            output_tokens=totals.output_tokens,
            reasoning_tokens=totals.reasoning_tokens,
            total_tokens=totals.input_tokens + totals.output_tokens,
            unpriced_requests=totals.unpriced_requests,
            cost_nano_usd=totals.cost_nano_usd,
            cost_usd=usd(totals.cost_nano_usd),
        )


class Percentiles(BaseModel):
    """Milliseconds within which so many of a hundred requests were through; above by less than a sixteenth."""

    p50: int
    p95: int
    p99: int

    @classmethod
    def of(cls, counts: Counts) -> "Percentiles | None":
        """None where nothing was counted."""
        found = [percentile(counts, share) for share in (0.5, 0.95, 0.99)]
        return cls(p50=found[0] or 0, p95=found[1] or 0, p99=found[2] or 0) if counts else None


class Latency(BaseModel):
    """Of requests: ``total_ms`` to the end of the answer, ``ttft_ms`` to its first byte, null where there was none."""

    total_ms: Percentiles | None
    ttft_ms: Percentiles | None

    @classmethod
    def of(cls, points: Iterable[UsagePoint]) -> "Latency":
        total: dict[int, int] = {}
        ttft: dict[int, int] = {}
        for point in points:
            for sums, counts in ((total, point.total), (ttft, point.ttft)):
                for bucket, count in counts.items():
                    sums[bucket] = sums.get(bucket, 0) + count
        return cls(total_ms=Percentiles.of(total), ttft_ms=Percentiles.of(ttft))


class Group(BaseModel):
    """``value`` is empty where there is none, as for the provider of a request that none served. ``latency`` is null
    unless it was asked for."""

    value: str
    totals: Totals
    latency: Latency | None = None


class Point(Group):
    """A group in the minute, hour or day (of UTC) that begins at ``at_ms``, epoch milliseconds."""

    at_ms: int


class UsageAnswer(BaseModel):
    """Usage that started in [from_ms, until_ms); null is open. ``groups`` by cost, dearest first; when there are too
    many, ``groups_omitted`` says how many were left out (their sums are in ``totals``). ``points`` are in the order of
    time, of the groups that are shown; what a time has none of was not used in it."""

    from_ms: int | None
    until_ms: int | None
    key: str | None
    group_by: str | None
    totals: Totals
    groups: list[Group]
    groups_omitted: int
    grain: str | None = None
    latency: Latency | None = None
    points: list[Point] = []


class Limits(BaseModel):
    """0 means no limit."""

    model_config = ConfigDict(extra="forbid")
    requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class BudgetIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    usd: Annotated[Decimal, Field(gt=0, le=1_000_000, max_digits=16, decimal_places=9)]
    window: Window = "month"


class KeyIn(BaseModel):
    """The same words as a key in the configuration file. ``models`` and ``providers`` are glob patterns, ``ips``
    networks in CIDR that a client must be in; what is left empty allows everything. ``expires`` in epoch seconds, 0 for
    never. ``rules`` is YAML (or JSON) of what may stand under a key's ``rules:`` in the file. The limits of ``team``
    and ``user`` apply to the key, and those of its ``tags``, which all its requests carry. With ``no_bodies`` nothing
    of what they say is ever kept."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$")]
    role: Role = "developer"
    models: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=100)
    ] = ["*"]
    providers: Annotated[list[Word], Field(max_length=100)] = []
    endpoints: Annotated[list[Endpoint], Field(max_length=20)] = []
    ips: Annotated[list[Word], Field(max_length=100)] = []
    management: Annotated[list[Managed], Field(max_length=20)] = []
    expires: Annotated[int, Field(ge=0, le=253_402_300_799)] = 0
    limits: Limits = Limits()
    budget: BudgetIn | None = None
    rules: Annotated[str, Field(max_length=16_384)] = ""
    team: Annotated[str, Field(max_length=64)] = ""
    user: Annotated[str, Field(max_length=200)] = ""
    tags: Annotated[list[Word], Field(max_length=16)] = []
    no_bodies: bool = False

    def to_new(self) -> NewKey:
        return NewKey(
            name=self.name,
            role=self.role,
            models=tuple(self.models),
            requests_per_minute=self.limits.requests_per_minute,
            budget_nano_usd=nano_usd(self.budget.usd) if self.budget else 0,
            budget_window=self.budget.window if self.budget else "month",
            rules=self.rules,
            team=self.team,
            user=self.user,
            tags=tuple(self.tags),
            no_bodies=self.no_bodies,
            scopes=Scopes(
                providers=tuple(self.providers),
                endpoints=tuple(self.endpoints),
                ips=tuple(self.ips),
                management=tuple(self.management),
                expires=self.expires,
            ),
        )


class BudgetOut(BaseModel):
    usd: str
    nano_usd: int
    window: str


class KeyOut(BaseModel):
    """``managed_by`` is "file" or "api"; only the latter can be revoked here. ``created`` and ``expires`` in epoch
    seconds; an ``expires`` of 0 is never, and an empty list allows everything. ``older_until`` is when the last of its
    older secrets ends (or ended), 0 without one. ``rules`` is JSON, empty for none; ``team`` and ``user`` are empty for
    nobody's; ``tags`` are what its requests carry.
    In lists ``requests`` and ``last_used`` (epoch seconds) say how it was used, null where that is not known
    now; ``last_used`` is null for a key that never was."""

    id: str
    name: str
    role: str
    models: list[str]
    providers: list[str]
    endpoints: list[str]
    ips: list[str]
    management: list[str]
    expires: int
    older_until: int
    requests: int | None = None
    last_used: int | None = None
    limits: Limits
    budget: BudgetOut | None
    rules: str
    managed_by: str
    created: int
    hint: str
    team: str
    user: str
    tags: list[str]
    no_bodies: bool

    @classmethod
    def of(cls, key: KeyInfo) -> "KeyOut":
        budget = BudgetOut(usd=usd(key.budget_nano_usd), nano_usd=key.budget_nano_usd, window=key.budget_window)
        return cls(
            id=key.id,
            name=key.name,
            role=key.role,
            models=list(key.models),
            providers=list(key.scopes.providers),
            endpoints=list(key.scopes.endpoints),
            ips=list(key.scopes.ips),
            management=list(key.scopes.management),
            expires=key.scopes.expires,
            older_until=key.older_until,
            limits=Limits.model_construct(requests_per_minute=key.requests_per_minute),
            budget=budget if key.budget_nano_usd else None,
            rules=key.rules,
            managed_by=key.managed_by,
            created=key.created,
            hint=key.hint,
            team=key.team,
            user=key.user,
            tags=list(key.tags),
            no_bodies=key.no_bodies,
        )

    def used(self, use: Mapping[str, KeyUse] | None) -> "KeyOut":
        """With what is known of its use."""
        if use is None:
            return self
        mine = use.get(self.id)
        last = mine.last_ms // 1000 if mine else None
        return self.model_copy(update={"requests": mine.requests if mine else 0, "last_used": last})


class Keys(BaseModel):
    keys: list[KeyOut]


class Rotation(BaseModel):
    """``overlap`` in seconds: how long older secrets are good as well; 0 ends them now."""

    model_config = ConfigDict(extra="forbid")
    overlap: Annotated[int, Field(ge=0, le=90 * 86_400)] = 86_400


class KeyCreated(BaseModel):
    """``secret`` is shown this once."""

    key: KeyOut
    secret: str


class BudgetState(BaseModel):
    """``held`` is reserved by requests in flight. ``resets_at`` in epoch seconds, 0 for never."""

    usd: str
    nano_usd: int
    spent_usd: str
    spent_nano_usd: int
    held_usd: str
    held_nano_usd: int
    window: str
    resets_at: int

    @classmethod
    def of(cls, state: KeyState | LimitState) -> "BudgetState | None":
        if not state.budget_nano_usd:
            return None
        return cls(
            usd=usd(state.budget_nano_usd),
            nano_usd=state.budget_nano_usd,
            spent_usd=usd(state.spent_nano_usd),
            spent_nano_usd=state.spent_nano_usd,
            held_usd=usd(state.held_nano_usd),
            held_nano_usd=state.held_nano_usd,
            window=state.budget_window,
            resets_at=state.budget_resets_at,
        )


class KeyQuota(BaseModel):
    key_id: str
    requests_in_window: int
    requests_per_minute: int
    budget: BudgetState | None

    @classmethod
    def of(cls, state: KeyState) -> "KeyQuota":
        return cls(
            key_id=state.key_id,
            requests_in_window=state.requests_in_window,
            requests_per_minute=state.requests_per_minute,
            budget=BudgetState.of(state),
        )


class AllowanceQuota(BaseModel):
    """``most`` ``of`` "requests", "tokens", "input" or "output" (of tokens), or "usd" in nano-USD, in a ``window``, or
    "concurrent" attempts, of which those under way are ``held``. ``resets_at`` is when it begins anew, or, where it
    rolls ("minute", "5h"), when the first of it is free again; epoch seconds, 0 for never. ``mode`` is "hard", "soft"
    or "shadow"."""

    of: str
    most: int
    window: str
    used: int
    held: int
    resets_at: int
    mode: str

    @classmethod
    def state(cls, state: AllowanceState) -> "AllowanceQuota":
        return cls(**msgspec.structs.asdict(state))


class LimitQuota(BaseModel):
    """A limit that keys share. ``name`` is what ``/api/limits`` calls it."""

    limit_id: str
    name: str
    organisation: str
    requests_in_window: int
    requests_per_minute: int
    budget: BudgetState | None
    allowances: list[AllowanceQuota]

    @classmethod
    def of(cls, state: LimitState) -> "LimitQuota":
        return cls(
            limit_id=state.limit_id,
            name=state.name,
            organisation=state.organisation,
            requests_in_window=state.requests_in_window,
            requests_per_minute=state.requests_per_minute,
            budget=BudgetState.of(state),
            allowances=[AllowanceQuota.state(each) for each in state.allowances],
        )


class Breaker(BaseModel):
    """Of an account; with ``model`` of the account for that model alone; with ``combo`` of its target ``model``,
    whatever the account. ``state`` is "closed", "open" or "half_open"; ``retry_after`` in seconds; ``cause`` "failing",
    "rate_limit", "quota" or "refused", empty when closed; ``told`` whether the provider itself said how long."""

    account_id: str
    state: str
    failures: int
    retry_after: float
    model: str
    combo: str
    cause: str
    told: bool

    @classmethod
    def of(cls, state: BreakerState) -> "Breaker":
        return cls(**msgspec.structs.asdict(state))


class Rate(BaseModel):
    """How fast a provider may be asked; with ``account_id`` an account of it, with ``model`` too the account for that
    one; 0 is any, ``min_gap`` in seconds. ``learned`` is how what is not configured came to be known: "told" by the
    provider, "refused" from its refusals, or nothing. The other counts are of the last minute and of now."""

    provider: str
    account_id: str
    model: str
    requests_per_minute: int
    tokens_per_minute: int
    min_gap: float
    concurrent: int
    learned: str
    requests_in_window: int
    tokens_in_window: int
    under_way: int
    waiting: int

    @classmethod
    def of(cls, state: RateState) -> "Rate":
        return cls(**msgspec.structs.asdict(state))


class Quota(BaseModel):
    keys: list[KeyQuota]
    limits: list[LimitQuota]
    breakers: list[Breaker]
    rate_limits: list[Rate]
    open_reservations: int
    accounts: list[AccountQuotaOut]

    @classmethod
    def of(cls, snapshot: QuotaSnapshot, now: float) -> "Quota":
        """``now`` is in epoch seconds."""
        return cls(
            keys=[KeyQuota.of(state) for state in snapshot.keys],
            limits=[LimitQuota.of(state) for state in snapshot.limits],
            breakers=[Breaker.of(state) for state in snapshot.breakers],
            rate_limits=[Rate.of(state) for state in snapshot.rates],
            open_reservations=snapshot.open_reservations,
            accounts=[AccountQuotaOut.of_state(state, now) for state in snapshot.accounts],
        )


class CheckOut(BaseModel):
    ok: bool
    detail: str

    @classmethod
    def of(cls, check: Check) -> "CheckOut":
        return cls(ok=check.ok, detail=check.detail)


class ConfigOut(BaseModel):
    """``revision`` is the published one. ``rejected`` says why a newer configuration file is not in force; empty when
    the newest is."""

    revision: int
    rejected: str


class ProcessOut(BaseModel):
    """A component of a process, as it last announced itself. ``address`` is the "host:port" it is called at, empty
    where it is not called. ``revision`` is the configuration it works with, 0 before its first and null where it
    follows none; ``refused_revision`` and ``refused_reason`` are of one that it would not take, 0 and empty when there
    is none. ``broken_proxies`` are those that failed it several times in a row and are left alone now."""

    service: str
    instance: str
    address: str
    draining: bool
    started_ms: int
    version: str
    revision: int | None
    refused_revision: int
    refused_reason: str
    in_step: bool
    broken_proxies: list[str]

    @classmethod
    def of(cls, process: Process, published: int) -> "ProcessOut":
        return cls(
            service=process.service,
            instance=process.instance,
            address=process.address,
            draining=process.draining,
            started_ms=process.started_ms,
            version=process.version,
            revision=process.revision,
            refused_revision=process.refused_revision,
            refused_reason=process.refused_reason,
            in_step=process.in_step(published),
            broken_proxies=list(process.broken_proxies),
        )


class System(BaseModel):
    """``in_step`` says whether every process works with the published configuration, ``live`` whether ``processes`` is
    of now: while NATS is away it is as last heard. ``checks`` are of the components in this process."""

    version: str
    instance_id: str
    config: ConfigOut
    in_step: bool
    live: bool
    processes: list[ProcessOut]
    checks: dict[str, dict[str, CheckOut]]


class ObjectOut(BaseModel):
    """An object of the configuration. ``document`` is what a PUT takes; secrets in it are references. ``etag`` is that
    of the header, without its quotes. ``managed_by`` is "file" (then ``source`` names it, and nothing is changed here)
    or "api". ``created`` and ``updated`` in epoch milliseconds, 0 where the file in force says it."""

    kind: str
    name: str
    document: dict[str, Any]
    etag: str
    managed_by: str
    source: str
    created: int
    updated: int

    @classmethod
    def of(cls, found: ConfigObject) -> "ObjectOut":
        return cls(
            kind=found.kind,
            name=found.name,
            document=msgspec.json.decode(found.document),
            etag=found.etag,
            managed_by=found.managed_by,
            source=found.source,
            created=found.created,
            updated=found.updated,
        )


class ObjectsOut(BaseModel):
    """``next`` is the ``after`` of the page that follows, null after the last."""

    items: list[ObjectOut]
    next: str | None


class WrittenOut(BaseModel):
    """``outcome`` is "created", "updated" or "unchanged"; of a dry run, what it would be."""

    outcome: str
    dry_run: bool
    object: ObjectOut


class DeletedOut(BaseModel):
    """Of a dry run, what would be deleted."""

    kind: str
    name: str
    dry_run: bool


class ChangeOut(BaseModel):
    """``action`` is "create", "update", "delete" or "adopt": what it says stays as it is, and who manages it is
    another. ``before`` and ``after`` are documents without secrets, null for none."""

    action: str
    kind: str
    name: str
    before: Any = None
    after: Any = None

    @classmethod
    def of(cls, change: ObjectChange) -> "ChangeOut":
        before, after = (msgspec.json.decode(text) if text else None for text in (change.before, change.after))
        return cls(action=change.action, kind=change.kind, name=change.name, before=before, after=after)


class AppliedOut(BaseModel):
    """``revision`` is in force now. ``changes`` of a dry run are what would be; ``unchanged`` is how many objects of
    the file stay as they are."""

    dry_run: bool
    revision: int
    changes: list[ChangeOut]
    unchanged: int
    warnings: list[str]

    @classmethod
    def of(cls, applied: Applied, dry_run: bool) -> "AppliedOut":
        return cls(
            dry_run=dry_run,
            revision=applied.revision,
            changes=[ChangeOut.of(change) for change in applied.changes],
            unchanged=applied.unchanged,
            warnings=list(applied.warnings),
        )


class AuditEntryOut(BaseModel):
    """One thing that was done. ``number`` counts over all organisations, ``at`` is in epoch milliseconds, ``target`` is
    "kind/id". ``before`` and ``after`` have no secrets, and are null where there is nothing. ``hash`` is the SHA-256 of
    all other fields, ``previous`` the hash of the entry before."""

    number: int
    at: int
    organisation: str
    actor: str
    action: str
    target: str
    before: Any = None
    after: Any = None
    previous: str
    hash: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditEntryOut":
        return cls(
            number=entry.number,
            at=entry.at,
            organisation=entry.organisation,
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            before=_document(entry.before),
            after=_document(entry.after),
            previous=entry.previous.hex(),
            hash=entry.hash.hex(),
        )


def _document(text: str) -> Any:
    """What somebody damaged is shown as it is."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


class AuditOut(BaseModel):
    """Newest first. ``next`` is the ``after`` of the page that follows, null after the last."""

    items: list[AuditEntryOut]
    next: str | None


class AuditVerdictOut(BaseModel):
    """``entries`` are as they were written, the last of which is ``head``: keep it elsewhere and ask with it the next
    time, for a chain does not show by itself that its end was cut off. ``bad`` is the number of the first entry that is
    not as it was written, null where ``ok``; ``why`` says what is wrong with it."""

    ok: bool
    entries: int
    head: str
    bad: int | None
    why: str

    @classmethod
    def of(cls, found: AuditVerdict) -> "AuditVerdictOut":
        return cls(ok=not found.bad, entries=found.entries, head=found.head, bad=found.bad or None, why=found.why)
