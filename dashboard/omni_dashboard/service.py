"""The management surface without HTTP: who is asking, what they may see, and which port knows the answer."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from operator import add
from typing import TypeVar

import msgspec
from omni_catalogue.doorway import Doorway
from omni_catalogue.roles import gives, manages
from omni_catalogue.scopes import may_hand_out
from omni_catalogue.snapshot import Server, decode
from omni_core.component import Check
from omni_core.kept_bodies import KeptBody
from omni_core.log_ring import LogLine, LogRing
from omni_core.ports.analytics import (
    AnalyticsPort,
    Breakdown,
    DeadLetters,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Redriven,
    RequestFound,
    Slice,
    Update,
    UsagePoint,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_core.ports.audit import AuditPage, AuditVerdict
from omni_core.ports.auth import Configuration, CreatedKey, Identity, KeyInfo, NewKey
from omni_core.ports.configuration import Applied, Caller, ConfigObject, ObjectPage, Written
from omni_core.ports.context import CallContext
from omni_core.ports.logins import LOGIN_TIMEOUT, LoginPort
from omni_core.ports.quota import AccountQuota, QuotaPort, QuotaSnapshot
from omni_core.ports.router import CompleteCall, ConnectionTest, RouterPort
from omni_wire.errors import DependencyUnavailable, GatewayError, InvalidRequest, PermissionDenied, WireError
from omni_wire.latency import added

from omni_dashboard.asking import PAGE, every, within
from omni_dashboard.domain.access import (
    PERSON,
    actor,
    admit,
    allow,
    allow_area,
    organisation_of,
    platform_only,
    runs_gateway,
    sees_organisation,
)
from omni_dashboard.domain.kinds import Kind
from omni_dashboard.domain.preconditions import Match, stale
from omni_dashboard.domain.simulation import Simulation
from omni_dashboard.people import People
from omni_dashboard.ports import Consoles, ControlPort
from omni_dashboard.settings import DashboardSettings
from omni_dashboard.usage.analysis import Analysis, Answer
from omni_dashboard.usage.asking import analysed, of_tags, own_keys, reported, visible
from omni_dashboard.usage.owners import Owner

T = TypeVar("T")


def combined(reports: Iterable[UsageReport]) -> UsageReport:
    """Their sums, group by group."""
    totals, groups = UsageTotals(), dict[str, UsageTotals]()
    points: dict[tuple[int, str], UsagePoint] = {}
    for report in reports:
        totals = _sum(totals, report.totals)
        for value, found in report.groups.items():
            groups[value] = _sum(groups.get(value, UsageTotals()), found)
        for point in report.points:
            known = points.get((point.at_ms, point.value))
            points[point.at_ms, point.value] = point if known is None else _both(known, point)
    return UsageReport(totals, groups, tuple(points[place] for place in sorted(points)))


def _nothing_kept(id_: str) -> InvalidRequest:
    told = f"nothing is kept of what a request '{id_}' said"
    return InvalidRequest(told, status=404, code="not_found", param="id")


def _both(one: UsagePoint, other: UsagePoint) -> UsagePoint:
    return UsagePoint(
        one.at_ms, one.value, _sum(one.totals, other.totals), added(one.total, other.total), added(one.ttft, other.ttft)
    )


def _sum(one: UsageTotals, other: UsageTotals) -> UsageTotals:
    return UsageTotals(*map(add, msgspec.structs.astuple(one), msgspec.structs.astuple(other)))


class Management:
    """``clock`` is monotonic, ``wall`` epoch time, both in seconds. Every method raises
    ``DependencyUnavailable`` when its port is away."""

    def __init__(
        self,
        auth: ControlPort,
        quota: QuotaPort,
        analytics: AnalyticsPort,
        settings: DashboardSettings,
        *,
        clock: Callable[[], float],
        wall: Callable[[], int],
        router: RouterPort | None = None,
        console: LogRing | None = None,
        people: People | None = None,
        consoles: Consoles | None = None,
    ) -> None:
        self._auth = auth
        self._quota = quota
        self._analytics = analytics
        self._router = router
        self.people = people or People(None, settings, clock)
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self.door = Doorway(Server())
        self._door_of = 0  # the revision that says so
        self._identities: dict[bytes, tuple[float, Identity]] = {}
        self._owners: dict[tuple[str, bool], tuple[float, dict[str, Owner]]] = {}
        self._ending = asyncio.Event()
        self.watching = Counter[str]()  # streams that are open, by whose
        self._console = console or LogRing()
        self._consoles = consoles
        self._ended = 0  # how often a key ended here: an answer that was under way then may be of before
        self.checks = {name: Check(False, "not asked yet") for name in ("auth", "quota", "analytics")}

    async def identify(
        self,
        context: CallContext,
        key: bytes,
        role: str,
        peer: str = "",
        forwarded: Sequence[str] = (),
        area: str = "",
        write: bool = False,
        what: str = "",
    ) -> Identity:
        """Who holds ``key``. ``peer`` is the address at the other end of the connection, ``forwarded`` what proxies
        say of it. Raises ``Unauthenticated``, or ``PermissionDenied`` when they have not ``role`` or may not use the
        key from there, or not for reading (or else changing) that ``area``, or ``what`` of it roles tell apart."""
        digest = hashlib.sha256(key).digest()
        now = self._clock()
        known = self._identities.get(digest)
        if known is not None and now < known[0]:
            identity = known[1]
        else:
            self._identities.pop(digest, None)
            ended = self._ended
            identity = await self._ask("auth", self._auth.authenticate(context, digest))
            if ended == self._ended:
                self._keep(digest, now, identity)
        admit(identity.scopes, peer, forwarded, self.door.trusted, self._wall())
        if role == PERSON:
            raise PermissionDenied("this is for people who have logged in, and not for keys", code="not_a_person")
        allow(identity.role, role, what or area, write)
        allow_area(identity.scopes, area, write)
        return identity

    async def identify_person(
        self, token: str, role: str, area: str = "", write: bool = False, what: str = ""
    ) -> Identity:
        """Who has logged in with that session. Raises as ``identify``."""
        who = await self.people.who(token)
        person = who.person
        identity = Identity(
            "", person.name, person.role, organisation=person.organisation, person=person.id, session=who.session.id
        )
        if role == PERSON:
            return identity
        if who.must_enrol:
            told = "your organisation asks for a second factor: set one up under /account"
            raise PermissionDenied(told, code="second_factor_needed")
        allow(identity.role, role, what or area, write)
        return identity

    @property
    def endpoint(self) -> str:
        """The base URL for models, as it was told; "" for one's own."""
        return self._settings.endpoint

    def _keep(self, digest: bytes, now: float, identity: Identity) -> None:
        while len(self._identities) >= self._settings.identity_entries:
            del self._identities[next(iter(self._identities))]
        self._identities[digest] = (now + self._settings.identity_ttl, identity)

    def forget(self) -> None:
        """Ask about every key again."""
        self._identities.clear()
        self._owners.clear()

    async def usage(self, identity: Identity, query: UsageQuery, tags: tuple[str, ...] = ()) -> UsageReport:
        """With ``tags`` of requests that have one of them. Raises ``PermissionDenied`` when a developer asks for a key
        that is not theirs."""
        if query.from_ms and query.until_ms and query.from_ms > query.until_ms:
            raise InvalidRequest("from is after until", param="from")
        if not sees_organisation(identity):
            mine = await own_keys(identity, self.owners)
            if query.key_id and query.key_id not in mine:
                raise PermissionDenied("a developer sees the usage of their own keys only", param="key")
            asked = [query.key_id] if query.key_id else [*mine]
            return combined([await self._usage(msgspec.structs.replace(query, key_id=key), tags) for key in asked])
        if not runs_gateway(identity):
            own = [key for key in await self._own_keys(identity) or () if query.key_id in ("", key)]
            return combined([await self._usage(msgspec.structs.replace(query, key_id=key), tags) for key in own])
        return await self._usage(query, tags)

    async def _usage(self, query: UsageQuery, tags: tuple[str, ...]) -> UsageReport:
        if tags:
            return combined(reported(query, await self.breakdown(of_tags(query, tags))))
        return await self._ask("analytics", self._analytics.query(query), self._settings.query_timeout)

    async def analyse(self, identity: Identity, asked: Analysis) -> Answer:
        """Raises ``PermissionDenied`` when a developer asks beyond their own key, ``InvalidRequest``."""
        return await analysed(identity, asked, self.breakdown, self.owners)

    async def breakdown(self, asked: Breakdown) -> Sequence[Slice]:
        return await self._ask("analytics", self._analytics.breakdown(asked), self._settings.query_timeout)

    async def listed(self, identity: Identity, asked: Listing) -> Listed:
        """Of what ``identity`` may see; filters may be of owners. Raises ``PermissionDenied``, ``InvalidRequest``."""
        filters, _ = await visible(identity, asked.filters, self.owners)
        return await self.page(msgspec.structs.replace(asked, filters=filters))

    async def console(self, identity: Identity, before: int, limit: int, text: str, process: str = "") -> list[LogLine]:
        """Lines of a process' log, newest first: of this one, or of the instance ``process``. Raises
        ``PermissionDenied`` but for who runs the gateway, ``InvalidRequest`` (404) where no such process answers."""
        platform_only(identity.organisation, "see its log")
        if not process:
            return self._console.newest(before, limit, text)
        if self._consoles is None:
            raise DependencyUnavailable("other processes cannot be asked from here")
        return await self._ask("the process", self._consoles.lines(process, before, limit, text))

    async def sees(self, identity: Identity) -> tuple[str, ...] | None:
        """The keys whose requests ``identity`` may see, None for all."""
        return (await self.visible(identity, {})).get("key")

    def live(self, keys: tuple[str, ...] | None, after: str) -> AsyncGenerator[Update, None]:
        """See ``AnalyticsPort.live``."""
        return self._analytics.live(keys, after)

    async def until_it_ends(self, updates: AsyncGenerator[Update, None]) -> AsyncIterator[Update]:
        """``updates``, for as long as this process takes requests."""
        ending = asyncio.ensure_future(self._ending.wait())
        coming: asyncio.Future[Update | None] | None = None
        try:
            while not ending.done():
                coming = asyncio.ensure_future(anext(updates, None))
                await asyncio.wait((ending, coming), return_when=asyncio.FIRST_COMPLETED)
                update = coming.result() if coming.done() else None
                if update is None:
                    return
                yield update
        finally:
            ending.cancel()
            if coming is not None and not coming.done():  # also where the client left while it was waited for
                coming.cancel()
                await asyncio.wait((coming,))

    def end(self) -> None:
        """Whoever watches is told to come again, elsewhere or later."""
        self._ending.set()

    async def visible(self, identity: Identity, filters: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """The same in words of analytics, of what ``identity`` may see. Raises as ``listed``."""
        return (await visible(identity, filters, self.owners))[0]

    async def page(self, asked: Listing) -> Listed:
        """For whoever may see what passes."""
        return await self._ask("analytics", self._analytics.listed(asked), self._settings.query_timeout)

    async def owners(self, identity: Identity) -> Mapping[str, Owner]:
        """Of the keys that ``identity`` may see, by id, and of those that were revoked: of all organisations, or of
        its own. As they were at most ``identity_ttl`` ago: a page asks several times."""
        now = self._clock()
        whose = (identity.organisation, runs_gateway(identity))
        known = self._owners.get(whose)
        if known is not None and now < known[0]:
            return known[1]
        ended = self._ended
        found = await self._owners_now(identity)
        if ended == self._ended:
            self._owners = {asked: entry for asked, entry in self._owners.items() if now < entry[0]}
            self._owners[whose] = (now + self._settings.identity_ttl, found)
        return found

    async def _owners_now(self, identity: Identity) -> dict[str, Owner]:
        whose = {identity.organisation: None}
        if runs_gateway(identity):
            caller = self.caller(identity)
            organisations = await every(
                lambda after: self._ask(
                    "auth", self._auth.list_objects(caller, "organisations", after=after, limit=PAGE)
                )
            )
            whose |= dict.fromkeys(found.name for found in organisations)
        return {
            key.id: Owner(organisation, key.team, key.user)
            for organisation in whose
            for revoked in (False, True)  # one that is revoked meanwhile is in both, and not in neither
            for key in await self.keys(identity, organisation, revoked=revoked)
        }

    def now_ms(self) -> int:
        return self._wall() * 1000

    async def dead_letters(self, identity: Identity, after: int, limit: int) -> DeadLetters:
        """Usage messages that could not be counted."""
        platform_only(identity.organisation, "see what could not be counted")
        return await self._ask("analytics", self._analytics.dead_letters(after, limit), self._settings.query_timeout)

    async def redrive(self, identity: Identity, ids: tuple[int, ...]) -> Redriven:
        """Count them now. One that stays is there as before."""
        platform_only(identity.organisation, "count what could not be counted")
        return await self._ask("analytics", self._analytics.redrive(ids), self._settings.query_timeout)

    async def discard(self, identity: Identity, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Remove them without counting, after the audit log has who did so; which of them there were."""
        platform_only(identity.organisation, "discard what could not be counted")
        letters = msgspec.json.encode({"letters": ids}).decode()
        caller = self.caller(identity)
        await self._ask("auth", self._auth.record_audit(caller, "usage.discard", "usage/dead", before=letters))
        return await self._ask("analytics", self._analytics.discard(ids), self._settings.query_timeout)

    async def request(self, identity: Identity, id_: str) -> RequestFound:
        """Raises ``InvalidRequest`` (404) for none, and for one that ``identity`` may not see alike."""
        if not sees_organisation(identity):
            keys: tuple[str, ...] | None = (*await own_keys(identity, self.owners),)
        else:
            keys = await self._own_keys(identity)
        found = await self._ask("analytics", self._analytics.find_request(id_, keys), self._settings.query_timeout)
        if found is None:
            raise InvalidRequest(f"there is no request '{id_}' on record", status=404, code="not_found", param="id")
        return found

    async def bodies(self, identity: Identity, id_: str) -> tuple[KeptBody, ...]:
        """Raises as ``request``. Nobody sees them before the audit log has who does."""
        keys = await self._own_keys(identity)
        found = await self._ask("analytics", self._analytics.bodies(id_, keys), self._settings.query_timeout)
        if not found:
            raise _nothing_kept(id_)
        target = f"request/{found[0].request_id}"
        await self._ask("auth", self._auth.record_audit(self.caller(identity), "bodies.read", target))
        return found

    async def forget_bodies(self, identity: Identity, id_: str) -> int:
        """Raises as ``request``. The audit log has who does so, and then they are gone."""
        keys = await self._own_keys(identity)
        found = await self._ask("analytics", self._analytics.bodies(id_, keys), self._settings.query_timeout)
        if not found:
            raise _nothing_kept(id_)
        request = found[0].request_id
        await self._ask("auth", self._auth.record_audit(self.caller(identity), "bodies.forget", f"request/{request}"))
        return await self._ask("analytics", self._analytics.forget_bodies(request, keys), self._settings.query_timeout)

    async def _own_keys(self, identity: Identity) -> tuple[str, ...] | None:
        """Whose requests an admin may see, those of revoked keys among them; None for anybody's."""
        if runs_gateway(identity):
            return None
        return tuple([key.id for revoked in (False, True) for key in await self.keys(identity, revoked=revoked)])

    async def simulate(
        self, identity: Identity, context: CallContext, wanted: Simulation, organisation: str = ""
    ) -> bytes:
        """What would become of a request of a key now, as JSON (see ``RouterPort.explain``). Raises
        ``PermissionDenied`` when a developer asks for another key, ``InvalidRequest`` (404) for a key that is not
        there."""
        key_id = await self._simulated_key(identity, wanted.key, organisation)
        body, model, stream = wanted.request()
        call = CompleteCall(context, key_id, wanted.client_format, body, "", model=model, stream=stream)
        if self._router is None:
            raise DependencyUnavailable("there is no router here to ask")
        return await self._ask("the router", self._router.explain(call))

    async def test_account(self, identity: Identity, context: CallContext, account: str, model: str) -> ConnectionTest:
        """Whether an account can be used (see ``RouterPort.test_account``). Raises ``InvalidRequest`` (404)."""
        platform_only(identity.organisation, "test accounts")
        asked = self._testing().test_account(context, account, model)
        return await self._ask("the router", asked, self._settings.test_timeout)

    async def test_proxy(self, identity: Identity, context: CallContext, name: str) -> ConnectionTest:
        """Whether a proxy opens a tunnel. Raises ``InvalidRequest`` (404)."""
        platform_only(identity.organisation, "test proxies")
        return await self._ask("the router", self._testing().test_proxy(context, name), self._settings.test_timeout)

    def _testing(self) -> RouterPort:
        if self._router is None:
            raise DependencyUnavailable("there is no router here to ask")
        return self._router

    async def _simulated_key(self, identity: Identity, key: str, organisation: str) -> str:
        if identity.person:
            return await self._simulated_for(identity, key, organisation)
        if key in ("", identity.key_id, identity.name) and not organisation:
            return identity.key_id
        if not manages(identity.role):
            raise PermissionDenied("a developer simulates requests of their own key only", param="key")
        for found in await self.keys(identity, organisation):
            if key in (found.id, found.name):
                return found.id
        raise InvalidRequest(f"there is no key '{key}'", status=404, code="not_found", param="key")

    async def _simulated_for(self, identity: Identity, key: str, organisation: str) -> str:
        """A person has any number of keys: the first of their own, where they say none."""
        own = not manages(identity.role)
        if own and organisation:
            raise PermissionDenied("a developer simulates requests of their own keys only", param="organisation")
        for found in await self.keys(identity, organisation):
            mine = found.user == identity.name
            if (mine and not key) or (key in (found.id, found.name) and (mine or not own)):
                return found.id
        told = f"there is no key '{key}'" if key else "key: say of which key, for none is yours"
        raise InvalidRequest(told, status=404, code="not_found", param="key")

    async def keys(self, identity: Identity, organisation: str = "", *, revoked: bool = False) -> list[KeyInfo]:
        return await self._ask("auth", self._auth.list_keys(self.caller(identity, organisation), revoked=revoked))

    async def key_use(self) -> dict[str, KeyUse] | None:
        """By key id; None while analytics does not say."""
        try:
            return await self._ask("analytics", self._analytics.key_use(), self._settings.call_timeout)
        except DependencyUnavailable:
            return None

    async def create_key(self, identity: Identity, new: NewKey, organisation: str = "") -> CreatedKey:
        """Raises ``PermissionDenied`` for a key that may do more than ``identity`` does."""
        if not gives(identity.role, new.role):
            raise PermissionDenied(f"who is {identity.role} gives nobody the role {new.role}", param="role")
        may_hand_out(identity.scopes, new.role, new.scopes)
        self._owners.clear()
        return await self._ask("auth", self._auth.create_key(new, self.caller(identity, organisation)))

    async def rotate_key(self, identity: Identity, key: str, overlap: int, organisation: str = "") -> CreatedKey:
        """By id or name. Raises ``PermissionDenied`` for a key that may do more than ``identity`` does."""
        await self._refuse_stronger(identity, key, organisation, "rotate")
        rotated = await self._ask("auth", self._auth.rotate_key(key, overlap, self.caller(identity, organisation)))
        self._forget(rotated.key.id)
        return rotated

    async def revoke_key(self, identity: Identity, key: str, organisation: str = "") -> KeyInfo:
        """By id or name. Here the key ends at once. Raises ``PermissionDenied`` as ``rotate_key``."""
        await self._refuse_stronger(identity, key, organisation, "revoke")
        revoked = await self._ask("auth", self._auth.revoke_key(key, self.caller(identity, organisation)))
        self._forget(revoked.id)
        return revoked

    async def _refuse_stronger(self, identity: Identity, key: str, organisation: str, doing: str) -> None:
        for found in await self.keys(identity, organisation):
            if key in (found.id, found.name):
                may_hand_out(identity.scopes, found.role, found.scopes, doing)

    def _forget(self, key_id: str) -> None:
        self._ended += 1
        self._owners.clear()
        self._identities = {digest: entry for digest, entry in self._identities.items() if entry[1].key_id != key_id}

    # ---- the configuration's objects --------------------------------------------------------------------------------

    def caller(self, identity: Identity, organisation: str = "") -> Caller:
        """As auth is told, also for its audit log. Raises ``PermissionDenied`` for another's ``organisation``."""
        return Caller(actor(identity), organisation_of(identity, organisation))

    async def objects(self, caller: Caller, kind: Kind, after: str, limit: int) -> ObjectPage:
        return await self._ask("auth", self._auth.list_objects(caller, kind.name, after=after, limit=limit))

    async def object(self, caller: Caller, kind: Kind, name: str) -> ConfigObject:
        """Raises ``InvalidRequest`` (404) for none."""
        return await self._ask("auth", self._auth.get_object(caller, kind.name, name))

    async def put_object(
        self, caller: Caller, kind: Kind, name: str, document: bytes, match: Match | None, create: bool, dry_run: bool
    ) -> Written:
        """With ``create`` only where there is none; with ``match`` only where that is there."""
        expected = await self._expected(caller, kind, name, match)
        return await self._ask(
            "auth",
            self._auth.put_object(
                caller, kind.name, name, document, if_match=expected, if_none_match=create, dry_run=dry_run
            ),
        )

    async def delete_object(self, caller: Caller, kind: Kind, name: str, match: Match | None, dry_run: bool) -> None:
        expected = await self._expected(caller, kind, name, match)
        await self._ask("auth", self._auth.delete_object(caller, kind.name, name, if_match=expected, dry_run=dry_run))

    async def adopt_object(self, caller: Caller, kind: Kind, name: str, match: Match | None) -> ConfigObject:
        expected = await self._expected(caller, kind, name, match)
        return await self._ask("auth", self._auth.adopt_object(caller, kind.name, name, if_match=expected))

    async def _expected(self, caller: Caller, kind: Kind, name: str, match: Match | None) -> str:
        """The one tag that auth is to insist on; "" for whichever. One change more or less between this question and
        the change itself makes no difference: auth looks again."""
        if match is None:
            return ""
        if len(match.tags) == 1:
            return match.tags[0]
        try:
            found = await self.object(caller, kind, name)
        except InvalidRequest as error:
            if error.status != 404:
                raise
            raise stale(f"there is no {kind.word} '{name}'") from None
        if not match.any and found.etag not in match.tags:
            raise stale(f"the {kind.word} is at version {found.etag}")
        return found.etag

    async def apply(
        self, identity: Identity, text: str, source: str, mode: str, dry_run: bool, take_over: bool
    ) -> Applied:
        """Raises ``PermissionDenied`` for a file with keys that may do more than ``identity`` does."""
        caller = self.caller(identity)
        platform_only(caller.organisation, "apply a configuration")
        applied = await self._ask(
            "auth",
            self._auth.apply_configuration(
                caller, text, source, mode=mode, dry_run=dry_run, take_over=take_over, scopes=identity.scopes
            ),
            self._settings.apply_timeout,
        )
        if any(change.kind == "keys" for change in applied.changes) and not dry_run:
            self._ended += 1
            self.forget()
        return applied

    async def export(self, caller: Caller) -> str:
        platform_only(caller.organisation, "export the configuration")
        return await self._ask("auth", self._auth.export_configuration(caller))

    async def audit(self, identity: Identity, organisation: str, before: int, limit: int) -> AuditPage:
        """Raises ``PermissionDenied`` for another's ``organisation``; without one the platform sees all."""
        caller = self.caller(identity)
        organisation_of(identity, organisation)
        return await self._ask(
            "auth", self._auth.list_audit(caller, organisation=organisation, before=before, limit=limit)
        )

    async def verify_audit(self, identity: Identity, head: str) -> AuditVerdict:
        platform_only(identity.organisation, "verify the audit log")
        return await self._ask(
            "auth", self._auth.verify_audit(self.caller(identity), head), self._settings.query_timeout
        )

    # ---- quota and the fleet ----------------------------------------------------------------------------------------

    async def quota(self, identity: Identity) -> QuotaSnapshot:
        """Those of its organisation's keys and its own limits; accounts are the platform's."""
        found = await self._ask("quota", self._quota.snapshot())
        if runs_gateway(identity):
            return found
        own = {key.id for key in await self.keys(identity)}
        return QuotaSnapshot(
            keys=tuple(key for key in found.keys if key.key_id in own),
            breakers=(),
            open_reservations=0,
            limits=tuple(limit for limit in found.limits if limit.organisation == identity.organisation),
        )

    async def limit_events(self, identity: Identity, asked: LimitEvents, organisation: str) -> tuple[LimitEvent, ...]:
        """Those of an ``organisation``; of all where the platform names none. Raises ``PermissionDenied`` for
        another's."""
        own = organisation_of(identity, organisation)
        whose = "" if runs_gateway(identity) and not organisation else own
        asked = msgspec.structs.replace(asked, organisation=whose)
        return await self._ask("analytics", self._analytics.limit_events(asked), self._settings.query_timeout)

    async def reset_breaker(self, identity: Identity, account_id: str) -> None:
        platform_only(identity.organisation, "reset a breaker")
        await self._ask("quota", self._quota.reset(account_id))

    async def refresh_quota(self, identity: Identity, account_id: str) -> AccountQuota:
        """Raises as ``QuotaPort.refresh_quota``."""
        platform_only(identity.organisation, "ask for an account's quota")
        asked = self._quota.refresh_quota(account_id)
        return await self._ask("quota", asked, self._settings.refresh_timeout)

    async def forget_rates(self, identity: Identity, account_id: str) -> None:
        platform_only(identity.organisation, "forget rate limits")
        await self._ask("quota", self._quota.forget_rates(account_id))

    async def login(self, identity: Identity, asking: Callable[[LoginPort, Caller], Awaitable[T]]) -> T:
        """What the LoginPort answers to who asks."""
        platform_only(identity.organisation, "log in at providers")
        return await self._ask("auth", asking(self._auth, self.caller(identity)), LOGIN_TIMEOUT)

    async def configuration(self, identity: Identity) -> Configuration:
        platform_only(identity.organisation, "see how it is")
        return self._heed(await self._ask("auth", self._auth.configuration()))

    def _heed(self, found: Configuration) -> Configuration:
        """Who may come, and whose word on a client's address counts, is in the configuration; what cannot be read
        changes nothing."""
        if found.revision != self._door_of:
            try:
                self.door = Doorway(decode(found.snapshot).server)
            except (WireError, ValueError):
                return found
            self._door_of = found.revision
        return found

    async def probe(self) -> None:
        """Ask each port something small, so that ``checks`` are true without traffic."""
        limit = self._settings.probe_timeout
        small = {
            "auth": self._ask("auth", self._auth.configuration(), limit),
            "quota": self._ask("quota", self._quota.snapshot("-"), limit),
            "analytics": self._ask("analytics", self._analytics.query(UsageQuery(1, 2)), limit),
        }
        results = await asyncio.gather(*small.values(), return_exceptions=True)
        for name, result in zip(small, results, strict=True):
            if isinstance(result, GatewayError):
                self.checks[name] = Check(False, result.message)
            elif isinstance(result, BaseException):
                self.checks[name] = Check(False, type(result).__name__)
            else:
                self.checks[name] = Check(True)
                if isinstance(result, Configuration):
                    self._heed(result)

    async def _ask(self, whom: str, answer: Awaitable[T], timeout: float | None = None) -> T:
        return await within(self._settings.call_timeout if timeout is None else timeout, whom, answer)
