"""The ports of auth, quota and analytics, small enough to read, and a dashboard over them."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from operator import add
from pathlib import Path
from typing import Any

import httpx
import msgspec
from omni_catalogue.scopes import Scopes
from omni_catalogue.snapshot import Provider, Routing, Server, Snapshot, encode
from omni_core.bus import Bus
from omni_core.kept_bodies import KeptBody
from omni_core.ports.analytics import (
    AttemptFound,
    Breakdown,
    Charge,
    DeadLetter,
    DeadLetters,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Redriven,
    Repriced,
    RepricedGroup,
    RequestFound,
    Slice,
    Standing,
    StatementLine,
    Update,
    UsagePoint,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_core.ports.audit import AuditEntry, AuditPage, AuditVerdict
from omni_core.ports.auth import Configuration, CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.configuration import ANYBODY, Applied, ConfigObject, ObjectChange, ObjectPage, Written
from omni_core.ports.configuration import Caller as Asker
from omni_core.ports.context import CallContext
from omni_core.ports.logins import LoginInfo, LoginKind, LoginPoll, Logins, LoginStart, NewLogin
from omni_core.ports.quota import (
    AccountQuota,
    AllowanceState,
    BreakerState,
    KeyState,
    LimitState,
    QuotaSnapshot,
    QuotaWindowState,
)
from omni_core.ports.router import CompleteCall, ConnectionTest
from omni_core.redis import open_redis
from omni_core.runtime import Runtime
from omni_core.settings import CoreSettings
from omni_core.telemetry import new_registry
from omni_dashboard.build import DashboardComponent, build
from omni_dashboard.domain.fleet import Fleet, Process, ordered
from omni_dashboard.settings import DashboardSettings
from omni_wire.errors import DependencyUnavailable, InvalidRequest, Unauthenticated
from omni_wire.usage import Apart, Usage

from tests.unit.dashboard.folk import Folk

ADMIN = "or-admin-0123456789"
DEV = "or-dev-0123456789"
ODD = "or-odd-0123456789"

PEOPLE = {
    ADMIN: Identity("key_admin", "root", "admin"),
    DEV: Identity("key_dev", "dora", "developer"),
    ODD: Identity("key_odd", "otto", "auditor"),  # a role this version does not know
}


class Auth:
    def __init__(self) -> None:
        self.calls = 0
        self.contexts: list[CallContext] = []
        self.people = {hashlib.sha256(key.encode()).digest(): identity for key, identity in PEOPLE.items()}
        self.list = [
            KeyInfo("key_admin", "root", "admin", ("*",), 0, 0, "month", "file", 1_700_000_000),
            KeyInfo("key_dev", "dora", "developer", ("gpt-*",), 60, 25 * 10**9, "month", "api", 1_700_000_001, "…6789"),
        ]
        self.revoked: list[KeyInfo] = []
        self.created: list[NewKey] = []
        self.failure: Exception | None = None
        self.hangs = False
        self.server, self.revision = Server(), 7
        self.callers: list[Asker] = []
        self.objects: dict[tuple[str, str, str], ConfigObject] = {}
        self.applied: list[tuple[object, ...]] = []
        self.scopes: list[Scopes | None] = []
        self.audit = [entry(number, "guests" if number == 2 else "default") for number in range(1, 6)]
        self.failure_of_notes = False
        self.noted: list[tuple[str, str, str, str]] = []
        self.providers: tuple[Provider, ...] = ()
        self.verdict = AuditVerdict(5, "5:" + "ab" * 32)

    async def _do(self) -> None:
        if self.hangs:
            await asyncio.sleep(60)
        if self.failure is not None:
            raise self.failure

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        self.calls += 1
        self.contexts.append(context)
        await self._do()
        if key_digest not in self.people:
            raise Unauthenticated("this API key is not known")
        return self.people[key_digest]

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        raise AssertionError("the dashboard never asks for a credential")

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        raise AssertionError("the dashboard never asks for a credential")

    # ---- logins: one of Codex ---------------------------------------------------------------------------------------

    login = LoginInfo("codex/work", "codex", "Codex", "ann@example.com", "good", "", 5, 4, 3, ("codex/main",))

    async def _login(self, caller: Asker) -> LoginInfo:
        await self._do()
        self.callers.append(caller)
        return self.login

    async def begin_login(self, caller: Asker, new: NewLogin) -> LoginStart:
        await self._login(caller)
        return LoginStart("abc123", "code", "https://provider.example/authorize", 9, "http://localhost:1455/callback")

    async def finish_login(self, caller: Asker, callback: str) -> LoginInfo:
        return await self._login(caller)

    async def poll_login(self, caller: Asker, flow: str) -> LoginPoll:
        await self._login(caller)
        return LoginPoll(wait=5.0)

    async def import_login(self, caller: Asker, new: NewLogin, tokens: str) -> LoginInfo:
        return await self._login(caller)

    async def list_logins(self, caller: Asker) -> Logins:
        return Logins((await self._login(caller),), (LoginKind("codex", "Codex", ("code",), "a risk"),))

    async def forget_login(self, caller: Asker, login: str) -> None:
        await self._login(caller)

    async def refresh_login(self, caller: Asker, login: str) -> LoginInfo:
        return await self._login(caller)

    async def configuration(self) -> Configuration:
        await self._do()
        snapshot = Snapshot(
            revision=self.revision, created=0, server=self.server, providers=self.providers, combos=(), keys=(),
            routing=Routing(),
        )  # fmt: skip
        return Configuration(self.revision, encode(snapshot), "line 3: unknown key 'provider'")

    async def create_key(self, new: NewKey, caller: Asker = ANYBODY) -> CreatedKey:
        await self._do()
        self.callers.append(caller)
        self.created.append(new)
        if new.name == "taken":
            raise InvalidRequest("there is a key named taken", param="name")
        key = KeyInfo(
            "key_new", new.name, new.role, new.models, new.requests_per_minute, new.budget_nano_usd, new.budget_window,
            "api", 1_700_000_002, "…cret",
        )  # fmt: skip
        return CreatedKey(key, "or-the-new-secret")

    async def list_keys(self, caller: Asker = ANYBODY, *, revoked: bool = False) -> list[KeyInfo]:
        await self._do()
        self.callers.append(caller)
        if revoked:
            return self.revoked if caller.organisation == "default" else []
        return self.list if caller.organisation == "default" else self.list[1:]

    async def rotate_key(self, key: str, overlap: int, caller: Asker = ANYBODY) -> CreatedKey:
        await self._do()
        self.callers.append(caller)
        for found in self.list:
            if key in (found.id, found.name):
                return CreatedKey(msgspec.structs.replace(found, older_until=overlap), "or-the-newer-secret")
        raise InvalidRequest(f"there is no key {key}", status=404)

    async def revoke_key(self, key: str, caller: Asker = ANYBODY) -> KeyInfo:
        await self._do()
        self.callers.append(caller)
        for found in self.list:
            if key in (found.id, found.name):
                self.people = {digest: who for digest, who in self.people.items() if who.key_id != found.id}
                return found
        raise InvalidRequest(f"there is no key {key}", status=404)

    # ---- the configuration's objects: those of the file "house.yaml" cannot be changed -------------------------------

    async def list_objects(self, caller: Asker, kind: str, *, after: str = "", limit: int = 100) -> ObjectPage:
        await self._do()
        self.callers.append(caller)
        found = [one for place, one in sorted(self.objects.items()) if place[:2] == (caller.organisation, kind)]
        rest = [one for one in found if one.name > after]
        return ObjectPage(tuple(rest[:limit]), rest[limit - 1].name if len(rest) > limit else "")

    async def get_object(self, caller: Asker, kind: str, name: str) -> ConfigObject:
        await self._do()
        self.callers.append(caller)
        found = self.objects.get((caller.organisation, kind, name))
        if found is None:
            raise InvalidRequest(f"there is no {name} among the {kind}", status=404, code="not_found")
        return found

    async def put_object(
        self,
        caller: Asker,
        kind: str,
        name: str,
        document: bytes,
        *,
        if_match: str = "",
        if_none_match: bool = False,
        dry_run: bool = False,
    ) -> Written:
        held = await self._changeable(caller, kind, name, if_match)
        if held is not None and if_none_match:
            raise InvalidRequest("it is there", status=412, code="version_mismatch")
        if b"wrong" in document:
            lines = ("tier: must be one of a, b", "models[0].id: is required")
            told = "\n".join([*lines, "combos/the best: targets[0]: there is no provider 'x'"])
            raise InvalidRequest(told, param="tier")
        if held is not None and held.document == document:
            return Written(held, "unchanged")
        made = ConfigObject(kind, name, document, str(int(held.etag) + 1) if held else "1", "api", "", 1, 2)
        if not dry_run:
            self.objects[caller.organisation, kind, name] = made
        return Written(made, "updated" if held else "created")

    async def delete_object(
        self, caller: Asker, kind: str, name: str, *, if_match: str = "", dry_run: bool = False
    ) -> None:
        if await self._changeable(caller, kind, name, if_match) is None:
            raise InvalidRequest("it is not there", status=404, code="not_found")
        if not dry_run:
            del self.objects[caller.organisation, kind, name]

    async def adopt_object(self, caller: Asker, kind: str, name: str, *, if_match: str = "") -> ConfigObject:
        found = await self.get_object(caller, kind, name)
        self.expect(found, if_match)
        made = msgspec.structs.replace(found, managed_by="api", source="", etag="1")
        self.objects[caller.organisation, kind, name] = made
        return made

    async def apply_configuration(
        self,
        caller: Asker,
        text: str,
        source: str,
        *,
        mode: str = "apply",
        dry_run: bool = False,
        take_over: bool = False,
        scopes: Scopes | None = None,
    ) -> Applied:
        await self._do()
        self.callers.append(caller)
        self.scopes.append(scopes)
        self.applied.append((text, source, mode, dry_run, take_over))
        changed = [ObjectChange("update", "combos", "best", b'{"a":1}', b'{"a":2}')]
        changed += [ObjectChange("update", "keys", "ci", b"{}", b"{}")] if "keys:" in text else []
        return Applied(tuple(changed), 8, ("mind the gap",), 3)

    async def export_configuration(self, caller: Asker) -> str:
        await self._do()
        self.callers.append(caller)
        return "providers: []\n"

    async def list_audit(
        self, caller: Asker, *, organisation: str = "", before: int = 0, limit: int = 100
    ) -> AuditPage:
        await self._do()
        self.callers.append(caller)
        found = [one for one in self.audit if organisation in ("", one.organisation) and one.number < (before or 99)]
        shown = tuple(sorted(found, key=lambda one: -one.number)[:limit])
        return AuditPage(shown, shown[-1].number if len(found) > limit else 0)

    async def record_audit(self, caller: Asker, action: str, target: str, before: str = "", after: str = "") -> None:
        await self._do()
        if self.failure_of_notes:
            raise DependencyUnavailable("the audit log cannot be written")
        self.callers.append(caller)
        self.noted.append((action, target, before, after))

    async def verify_audit(self, caller: Asker, head: str = "") -> AuditVerdict:
        await self._do()
        self.callers.append(caller)
        return self.verdict

    async def _changeable(self, caller: Asker, kind: str, name: str, if_match: str) -> ConfigObject | None:
        await self._do()
        self.callers.append(caller)
        held = self.objects.get((caller.organisation, kind, name))
        self.expect(held, if_match)
        if held is not None and held.managed_by == "file":
            raise InvalidRequest(f"{held.source} manages it", status=409, code="managed_by_file")
        return held

    def expect(self, held: ConfigObject | None, if_match: str) -> None:
        if if_match and (held is None or held.etag != if_match):
            raise InvalidRequest("another version is there", status=412, code="version_mismatch")


ACCOUNT = AccountQuota(
    account_id="claude/a",
    plan="max",
    windows=(
        QuotaWindowState(
            "5h", "percent", 8_150, 10_000, 4_000_000_000.0, source="header", as_of_ms=1_900_000_000_500,
            exhausts_at=3_900_000_000.0,
        ),
        QuotaWindowState("once", "usd", 2_500_000_000, 0, source="counted", as_of_ms=1_900_000_000_000),
        QuotaWindowState("month:chat", "requests", 0, 0, unlimited=True, source="fetched", stale=True),
    ),
    failures=2,
    reason="HTTP 500",
    forecast_exhausted_at=3_900_000_000.0,
    asks=True,
    cutoff=2.0,
    warn=20.0,
)  # fmt: skip


class Quota:
    def __init__(self) -> None:
        self.resets: list[str] = []
        self.failure: Exception | None = None

    async def snapshot(self, key_id: str = "") -> QuotaSnapshot:
        if self.failure is not None:
            raise self.failure
        return QuotaSnapshot(
            keys=(
                KeyState("key_dev", 12, 60, 1_250_000, 10**9, 25 * 10**9, "month", 1_800_000_000),
                KeyState("key_admin", 0, 0, 0, 0, 0, "month", 0),
            ),
            breakers=(
                BreakerState("acme/first", "open", 5, 12.5, "gpt-x", "", "rate_limit", True),
                BreakerState("claude/a", "closed", 0, 0.0),
            ),
            open_reservations=3,
            limits=(
                LimitState(
                    "l1",
                    "team/core/monthly",
                    "default",
                    7,
                    60,
                    1_000_000,
                    0,
                    10**9,
                    "month",
                    1_800_000_000,
                    allowances=(AllowanceState("tokens", 900, "5h", 40, 2, 1_800_000_000),),
                ),
                LimitState("l2", "all", "guests", 2, 9, 0, 0, 0, "", 0),
            ),
            accounts=(ACCOUNT,),
        )

    async def refresh_quota(self, account_id: str) -> AccountQuota:
        if self.failure is not None:
            raise self.failure
        self.resets.append(f"quota of {account_id}")
        return msgspec.structs.replace(ACCOUNT, account_id=account_id)

    async def reset(self, account_id: str) -> None:
        self.resets.append(account_id)

    async def forget_rates(self, account_id: str) -> None:
        self.resets.append(f"rates of {account_id}")


# A request of key_dev with a decision, as analytics tells of it.
FOUND = RequestFound(
    id="0190", request_id="mine", started_ms=1_700_000_000_000, duration_ms=950, first_byte_ms=130, key_id="key_dev",
    client_format="openai.chat", model_requested="best", combo="best", provider="acme", account_id="acme/first",
    model_served="gpt-x", stream=True, status=200, error_kind="", usage=Usage(100, 10, 5, 50, 7),
    cost_nano_usd=1_250_000, pricing="priced", outcome="ok", losses=("top_k",),
    tags=("batch",), config_revision=7, router_id="router-1",
    attempts=(
        AttemptFound(
            id="0191", started_ms=1_700_000_000_001, duration_ms=20, first_byte_ms=-1, provider="claude",
            account_id="claude/a", model="claude-x", provider_format="anthropic.messages", outcome="failed",
            error_kind="upstream_unreachable", provider_status=0,
            usage=Usage(apart=Apart(audio_input_tokens=3), suspect="unreadable"), cost_nano_usd=0, reserved_nano_usd=9,
            pricing="priced", overrun=False, router_id="router-1", price_version="3c503ebfd6d8",
            charged=("key", "l1"), repriced_nano_usd=-7,
        ),
    ),
    decision=b'{"model":"best","steps":[{"provider":"claude","outcome":"failed"}]}',
)  # fmt: skip


KEPT = tuple(
    KeptBody(
        request_id="0190", told_id="mine", key_id="key_dev", stage=stage, attempt=attempt, provider=provider,
        model="gpt-x" if attempt else "", wire_format="openai.chat", at_ms=1_700_000_000_000,
        until_ms=1_700_600_000_000, size=1000, content=b"{}", redacted=True, cut=True,
    )
    for stage, attempt, provider in (("client_request", 0, ""), ("provider_request", 1, "acme"))
)  # fmt: skip


class Analytics:
    def __init__(self) -> None:
        self.kept = KEPT
        self.found: list[RequestFound] = [FOUND]
        self.asked: list[tuple[str, tuple[str, ...] | None]] = []
        self.queries: list[UsageQuery] = []
        self.limits_asked: list[LimitEvents] = []
        self.limit_events_there: tuple[LimitEvent, ...] = ()
        self.breakdowns: list[Breakdown] = []
        self.listings: list[Listing] = []
        self.watched: list[tuple[tuple[str, ...] | None, str]] = []
        self.updates = [Update("k-0")]
        self.slices: list[tuple[int, dict[str, str], UsageTotals]] = []  # when, of what, how much
        self.failure: Exception | None = None
        self.charged: list[Charge] = []
        self.repriced: list[tuple[int, int, bool]] = []
        self.letters = [
            DeadLetter(17, 1_700_000_000_000, "an event of a kind this version does not know", 5, 300, 2, ""),
            DeadLetter(19, 0, "", 0, 750_000, 0, "not an events.v1.EventBatch"),
        ]
        self.groups = {
            "gpt-x": UsageTotals(2, 1, 3, 100, 10, 5, 50, 7, 1_250_000, 0),
            "claude-x": UsageTotals(1, 0, 1, 1, 0, 0, 2, 0, 2**60, 1),
        }

    async def bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> tuple[KeptBody, ...]:
        return tuple(
            body
            for body in self.kept
            if id_ in (body.request_id, body.told_id) and (key_ids is None or body.key_id in key_ids)
        )

    async def forget_bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        gone = await self.bodies(id_, key_ids)
        self.kept = tuple(body for body in self.kept if body not in gone)
        return len(gone)

    async def standing(self) -> Standing:
        if self.failure is not None:
            raise self.failure
        return Standing(0, 0)

    async def charges(self, from_ms: int, until_ms: int = 0) -> list[Charge]:
        if self.failure is not None:
            raise self.failure
        return self.charged

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        return [StatementLine(from_ms, "gpt-x", "ok", "priced", False, "", 2, 100, 10, 5, 50, 1_250_000)]

    async def reprice(self, from_ms: int, until_ms: int, book: bytes, *, apply: bool) -> Repriced:
        self.repriced.append((from_ms, until_ms, apply))
        return Repriced((RepricedGroup("key_dev", "acme", "gpt-x", 2, 1_000, 1_500),), 5, 1, 1, 1)

    async def key_use(self) -> dict[str, KeyUse]:
        if self.failure is not None:
            raise self.failure
        return {"key_dev": KeyUse(3, 1_700_000_123_456)}

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        self.limits_asked.append(asked)
        if self.failure is not None:
            raise self.failure
        return self.limit_events_there[: asked.most]

    async def dead_letters(self, after: int, limit: int) -> DeadLetters:
        if self.failure is not None:
            raise self.failure
        found = tuple(letter for letter in self.letters if letter.id > after)
        following = found[limit - 1].id if len(found) > limit else 0
        return DeadLetters(found[:limit], len(self.letters), following)

    async def redrive(self, ids: tuple[int, ...]) -> Redriven:
        there = [letter for letter in self.letters if letter.id in ids]
        counted = tuple(letter.id for letter in there if not letter.fault)
        self.letters = [letter for letter in self.letters if letter.id not in counted]
        return Redriven(counted, {letter.id: letter.fault for letter in there if letter.fault})

    async def discard(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        gone = tuple(letter.id for letter in self.letters if letter.id in ids)
        self.letters = [letter for letter in self.letters if letter.id not in gone]
        return gone

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        self.asked.append((id_, key_ids))
        if self.failure is not None:
            raise self.failure
        seen = [one for one in self.found if id_ in (one.id, one.request_id) and (not key_ids or one.key_id in key_ids)]
        return seen[0] if seen and key_ids != () else None

    async def query(self, query: UsageQuery) -> UsageReport:
        self.queries.append(query)
        if self.failure is not None:
            raise self.failure
        totals = UsageTotals(3, 1, 4, 101, 10, 5, 52, 7, 2**60 + 1_250_000, 1)
        points = tuple(
            UsagePoint(3_600_000 * hour, name, found, {40: 99, 400: 1} if query.latency else {})
            for hour in (1, 2)
            for name, found in self.groups.items()
        )
        return UsageReport(
            totals, self.groups if query.group_by else {}, points if query.grain or query.latency else ()
        )

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        """Of ``slices``, those of the span, told apart and filtered as was asked."""
        self.breakdowns.append(asked)
        if self.failure is not None:
            raise self.failure
        found: dict[tuple[int, tuple[str, ...]], Slice] = {}
        unit = {"": 0, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}[asked.grain]
        for at, of, totals in self.slices:
            if at < asked.from_ms or (asked.until_ms and at >= asked.until_ms):
                continue
            if any(of[name] not in wanted for name, wanted in asked.filters.items()):
                continue
            place = (at - at % unit if unit else 0, tuple(of[name] for name in asked.dimensions))
            known = found[place].totals if place in found else UsageTotals()
            both = UsageTotals(*map(add, msgspec.structs.astuple(known), msgspec.structs.astuple(totals)))
            found[place] = Slice(*place, both, {name: {40: both.requests} for name in asked.latency})
        return tuple(found[place] for place in sorted(found))

    async def live(self, key_ids: tuple[str, ...] | None, after: str = "") -> AsyncGenerator[Update, None]:
        """What ``updates`` are, then no more."""
        self.watched.append((key_ids, after))
        if self.failure is not None:
            raise self.failure
        for update in self.updates:
            yield update

    async def listed(self, asked: Listing) -> Listed:
        """One request and one attempt a page, of those whose keys are asked for."""
        self.listings.append(asked)
        if self.failure is not None:
            raise self.failure
        keys = asked.filters.get("key")
        seen = [one for one in self.found if keys is None or one.key_id in keys]
        start = int(asked.after or 0)
        page, following = seen[start : start + 1], str(start + 1) if len(seen) > start + 1 else ""
        if asked.kind == "attempt":
            return Listed(attempts=tuple(attempt for one in page for attempt in one.attempts), next=following)
        return Listed(requests=tuple(msgspec.structs.replace(one, attempts=()) for one in page), next=following)


class Router:
    """RouterPort, as far as a dashboard needs it."""

    def __init__(self) -> None:
        self.calls: list[CompleteCall] = []
        self.failure: Exception | None = None
        self.document = b'{"model":"best","revision":7,"router":"router-1","candidates":1,"steps":[{"account":"a/b"}]}'

    async def explain(self, call: CompleteCall) -> bytes:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure
        return self.document

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        if self.failure is not None:
            raise self.failure
        if account_id != "acme/first":
            raise InvalidRequest(f"there is no account '{account_id}'", status=404, code="not_found")
        told = "the provider takes the key"
        return ConnectionTest(True, "models", told, 200, 7, proxy="office", level="global", egress="203.0.113.7")

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        if self.failure is not None:
            raise self.failure
        return ConnectionTest(False, "tunnel", "the proxy office cannot be reached", 0, 9, "proxy_unreachable")


class Processes:
    """FleetView: two routers, one of which would not take revision 7."""

    def __init__(self) -> None:
        self.live = True
        self.running = False
        self.list = [
            process(
                "router", "router-2", revision=6, refused_revision=7, refused_reason="the combo 'best' leads nowhere"
            ),
            process("translator", "translator-1", revision=None, draining=True),
            process("router", "router-1", revision=7),
        ]

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False

    def now(self) -> Fleet:
        return Fleet(ordered(self.list), self.live)


def process(service: str, instance: str, *, revision: int | None, **more: Any) -> Process:
    fields = {"address": "10.0.0.1:20141", "draining": False, "started_ms": 1_700_000_000_000, "version": "1.2.3"}
    refused = {"refused_revision": 0, "refused_reason": ""}
    return Process(service=service, instance=instance, revision=revision, **(fields | refused | more))


def entry(number: int, organisation: str, **more: Any) -> AuditEntry:
    fields = {"before": "null", "after": '{"name":"core"}', "previous": bytes(32), "hash": b"\xab" * 32}
    return AuditEntry(
        number=number, at=1_700_000_000_000 + number, organisation=organisation, actor="cli:uid-7",
        action="teams.create", target=f"teams/t{number}", **(fields | more),
    )  # fmt: skip


class House:
    """A dashboard over those ports; ``call`` is one HTTP request."""

    def __init__(self, **changed: Any) -> None:
        self.auth, self.quota, self.analytics, self.fleet = Auth(), Quota(), Analytics(), Processes()
        self.router, self.people = Router(), Folk()
        core = CoreSettings(
            data_dir=Path("unused"),
            redis_url="redis://127.0.0.1:1/0",
            nats_url="nats://127.0.0.1:1",
            token="t",
            peers={},
        )
        self.runtime = Runtime(core, open_redis(core.redis_url), Bus(core.nats_url, name="t"), new_registry(), "dash-1")
        self.component: DashboardComponent = build(
            self.runtime,
            auth=self.auth,
            quota=self.quota,
            analytics=self.analytics,
            router=self.router,  # type: ignore[arg-type]
            fleet=self.fleet,
            people=self.people,
            settings=DashboardSettings(**({"call_timeout": 0.2, "probe_timeout": 0.2} | changed)),
        )

    async def call(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        headers |= more.pop("headers", {})
        async with self.client() as client:
            return await client.request(method, path, headers=headers, **more)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.component.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:20128") as client:
            yield client


def is_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """An RFC 9457 body with the request id of the header; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:omniroute:problem:")
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"] != ""
    if code is not None:
        assert body["code"] == code
    return body
