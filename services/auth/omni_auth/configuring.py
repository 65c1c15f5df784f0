"""The configuration's objects, as AuthPort tells and changes them.

A change is decided and checked as a whole, against the live file too, inside the store's transaction: what would not
make a configuration is refused and nothing is written. Blocking work is done in threads.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from omni_catalogue.scopes import Scopes
from omni_catalogue.snapshot import UPSTREAM
from omni_core.ports.configuration import Applied, Caller, ConfigObject, ObjectChange, ObjectPage, Written
from omni_core.redaction import redact_shapes
from omni_wire.errors import InvalidRequest, PermissionDenied

from omni_auth.domain import (
    applied_keys,
    document,
    entities,
    exporting,
    merging,
    objects,
    planning,
    rules,
    schema,
    whole,
)
from omni_auth.domain.apikeys import StoredKey, file_key_id
from omni_auth.domain.applied_keys import Asking, HeldKeys, KeyStep, Said
from omni_auth.domain.audit import redacted
from omni_auth.domain.configuration import Configuration
from omni_auth.domain.document import Tree
from omni_auth.domain.entities import DEFAULT_ORGANISATION, Entity
from omni_auth.domain.naming import Names
from omni_auth.domain.objects import NOTHING, PLATFORM, FileObject, Held, HeldKey, Named
from omni_auth.domain.own_keys import OwnKeys, own_keys
from omni_auth.domain.planning import Step, Where, Writer, placed
from omni_auth.domain.problems import Loc, Places, Problem, dotted, render
from omni_auth.domain.schema import Config
from omni_auth.domain.whole import Misfit
from omni_auth.ports import ObjectStore, StoreSecrets

MOST = 1_000
APPLIED, IMPORTED = "apply", "import"


class Configuring(ABC):
    """ConfigurationPort, for an auth that knows the live file. ``mint`` gives ids that sort by time; ``now`` in epoch
    ms."""

    def __init__(
        self, objects: ObjectStore, secrets: StoreSecrets, *, mint: Callable[[], str], now: Callable[[], int]
    ) -> None:
        self._objects, self._secrets, self._mint, self._ms = objects, secrets, mint, now

    @abstractmethod
    def _live(self) -> Configuration:
        """The configuration file that is in force."""

    @abstractmethod
    def _number(self) -> int:
        """The revision in force."""

    @abstractmethod
    def _secret_version(self, account_id: str, secret: str) -> str:
        """What tells a secret from another without giving it away."""

    @abstractmethod
    def _pepper(self) -> bytes:
        """What digests of keys are made with. Blocking."""

    @abstractmethod
    def _stored_keys(self) -> Sequence[StoredKey]:
        """Those in force, of every organisation. Blocking."""

    @abstractmethod
    async def _store_changed(self) -> None:
        """Put what the store has now into force."""

    async def list_objects(self, caller: Caller, kind: str, *, after: str = "", limit: int = 100) -> ObjectPage:
        objects.kind_of(kind)
        found = sorted(await self._all(caller, kind), key=lambda one: one.name)
        rest = [one for one in found if one.name > after]
        limit = max(1, min(limit, MOST))
        return ObjectPage(tuple(rest[:limit]), rest[limit - 1].name if len(rest) > limit else "")

    async def get_object(self, caller: Caller, kind: str, name: str) -> ConfigObject:
        objects.kind_of(kind)
        for one in await self._all(caller, kind):
            if one.name == name:
                return one
        raise objects.unknown(kind, name)

    async def put_object(
        self,
        caller: Caller,
        kind: str,
        name: str,
        document: bytes,
        *,
        if_match: str = "",
        if_none_match: bool = False,
        dry_run: bool = False,
    ) -> Written:
        _may_change(caller, kind)
        given = _document(document)

        def decide(held: Held, writer: Writer) -> list[Step]:
            return planning.put(held, writer, kind, name, given, if_match=if_match, new=if_none_match)

        held, steps, _ = await self._change(caller, decide, self._writer(caller, (kind, name)), dry_run)
        found = steps[0].after if steps else held.get(kind, name)
        assert found is not None  # noqa: S101 — a put leaves something
        return Written(_object(name, found), f"{steps[0].action}d" if steps else "unchanged")

    async def delete_object(
        self, caller: Caller, kind: str, name: str, *, if_match: str = "", dry_run: bool = False
    ) -> None:
        _may_change(caller, kind)

        def decide(held: Held, writer: Writer) -> list[Step]:
            return planning.delete(held, writer, kind, name, if_match=if_match)

        await self._change(caller, decide, self._writer(caller, (kind, name)), dry_run)

    async def adopt_object(self, caller: Caller, kind: str, name: str, *, if_match: str = "") -> ConfigObject:
        _may_change(caller, kind)

        def decide(held: Held, writer: Writer) -> list[Step]:
            return planning.adopt(held, writer, kind, name, if_match=if_match)

        await self._change(caller, decide, self._writer(caller, (kind, name)), dry_run=False)
        return await self.get_object(caller, kind, name)

    async def apply_configuration(
        self,
        caller: Caller,
        text: str,
        source: str,
        *,
        mode: str = APPLIED,
        dry_run: bool = False,
        take_over: bool = False,
        scopes: Scopes | None = None,
    ) -> Applied:
        if mode not in (APPLIED, IMPORTED):
            raise InvalidRequest(f"mode: must be {APPLIED} or {IMPORTED}", param="mode")
        if mode == APPLIED and not source:
            raise InvalidRequest("source: must name the file whose objects they are to be", param="source")
        refuse_guests(caller, "the configuration is")
        filename = source or "configuration"
        tree, config, places = _file(text, filename)
        wanted = objects.of_tree(tree)

        def at(loc: Loc) -> Where:
            return Where(dotted(loc), f"{filename}:{places.find(loc).line}")

        def where(named: Named, loc: Loc) -> Where:
            return at((*wanted[named].loc, *loc)) if named in wanted else planning.asked(None, named, loc)

        writer = msgspec.structs.replace(self._writer(caller), where=where)
        if mode == APPLIED:
            writer = msgspec.structs.replace(writer, managed_by=planning.FILE, source=source)

        def decide(held: Held, writer: Writer) -> list[Step]:
            return planning.apply(held, writer, wanted, take_over=take_over)

        said, doubts = await asyncio.to_thread(self._said, config, places, filename)
        asking = Asking(
            organisation=caller.organisation,
            source=writer.source,
            live=await asyncio.to_thread(self._live_keys) if said else {},
            filename=writer.filename,
            scopes=scopes,
            where=at,
            now=self._ms() // 1000,
            take_over=take_over,
        )
        keys = _KeyPlan(asking, said)
        held, steps, warnings = await self._change(caller, decide, writer, dry_run, keys)
        changes = tuple(_changed(step, name, writer) for step, name in planning.named(steps, held))
        changes += tuple(map(_key_changed, keys.steps))
        written = sum(step.after is not None for step in steps) + len(keys.steps)
        aside = [applied_keys.aside(writer.filename, step.after.name) for step in keys.steps if step.live is not None]
        after = held.changed(put=[step.after for step in steps if step.after is not None])
        order = render(list(planning.out_of_order(after, wanted)), places, filename)
        told = (*warnings, *doubts, *order, *aside)
        return Applied(changes, self._number(), told, len(wanted) + len(said) - written)

    async def export_configuration(self, caller: Caller) -> str:
        refuse_guests(caller, "the configuration is")
        held = await asyncio.to_thread(self._objects.held, caller.organisation)
        return exporting.text(self._live().tree, held)

    # ---- how --------------------------------------------------------------------------------------------------------

    async def _all(self, caller: Caller, kind: str) -> list[ConfigObject]:
        held = await asyncio.to_thread(self._objects.held, caller.organisation)
        own = caller.organisation == DEFAULT_ORGANISATION
        if kind in PLATFORM and not own:
            mine = [
                one for _, one in held.items() if one.kind == kind == "organisations" and one.id == caller.organisation
            ]
            return [_object(held.name(one), one) for one in mine]
        found = [_object(name, one) for (of, name), one in held.items() if of == kind]
        if not own:
            return found
        live, filename = self._live(), self._live().filename
        return found + [
            _live_object(one, filename)
            for named, one in objects.of_tree(live.tree).items()
            if one.kind == kind and held.get(*named) is None and not _provider_is_held(held, one)
        ]

    def _writer(self, caller: Caller, of: Named | None = None) -> Writer:
        """For a change of one object, or of many."""
        live = self._live()
        return Writer(
            organisation=caller.organisation,
            mint=self._mint,
            version=self._secret_version,
            live=objects.of_tree(live.tree) if caller.organisation == DEFAULT_ORGANISATION else {},
            filename=live.filename,
            where=partial(planning.asked, of),
        )

    def _said(self, config: Config, places: Places, filename: str) -> tuple[tuple[Said, ...], tuple[str, ...]]:
        """The keys that a file says, and what is to be told of them. Blocking. Raises ``InvalidRequest`` for secrets
        that cannot be had here."""
        if not config.keys:
            return (), ()
        said, missing, doubts = applied_keys.read(config.keys, self._secrets.named, self._pepper())
        _refuse(missing, places, filename)
        return said, render(doubts, places, filename)

    def _live_keys(self) -> dict[str, Said]:
        """Those of the live file by name. Blocking."""
        live, pepper = self._live(), self._pepper()
        secrets = (live.secrets["keys", index, "secret"] for index in range(len(live.config.keys)))
        found = zip(live.config.keys, secrets, strict=True)
        return {section.name: applied_keys.said(section, secret, pepper) for section, secret in found}

    async def _change(
        self,
        caller: Caller,
        plan: Callable[[Held, Writer], list[Step]],
        writer: Writer,
        dry_run: bool,
        keys: "_KeyPlan | None" = None,
    ) -> tuple[Held, list[Step], tuple[str, ...]]:
        """What was held, the steps, and what is to be told of the configuration afterwards."""
        keys = keys or _KeyPlan()
        live = self._live()
        own = await asyncio.to_thread(self._own_keys, live)
        warnings: tuple[str, ...] = ()

        def decide(held: Held) -> Sequence[Step]:
            nonlocal warnings
            held = keys.known(held)
            steps = plan(held, writer)
            for step, name in planning.named(steps, held):
                if step.after is not None:
                    _check(step.after, writer, (step.after.kind, name))
            warnings = self._fit(live, held, steps, writer, own, keys.said)
            _refuse_limits_of_nothing(live, held, steps, writer)
            return steps

        held, steps = await asyncio.to_thread(
            self._objects.change,
            caller.organisation,
            decide,
            now=self._ms(),
            actor=caller.actor,
            dry_run=dry_run,
            decide_keys=keys if keys.said else None,
        )
        held = keys.known(held)
        if (steps or keys.steps) and not dry_run:
            await self._store_changed()
        return held, steps, warnings

    def _own_keys(self, live: Configuration) -> OwnKeys:
        """Blocking."""
        return own_keys(live, self._stored_keys(), self._pepper())

    def _fit(
        self,
        live: Configuration,
        held: Held,
        steps: Sequence[Step],
        writer: Writer,
        own: OwnKeys,
        said: Sequence[Said],
    ) -> tuple[str, ...]:
        """The warnings of the configuration after ``steps``, with the keys that are ``said``. Raises ``InvalidRequest``
        where there is no whole one then, naming every field; what was wrong before is no reason."""
        if not said and not any(step.entity.kind in PLATFORM for step in steps):
            return ()
        put = [step.after for step in steps if step.after is not None]
        gone = [step.entity for step in steps if step.after is None]
        pending = {step.entity.id: step.secret for step in steps if step.secret}
        fetch = self._secrets.fetch(held.changed(put=put), pending, own.also(said))
        try:
            return whole.combine(live, held.changed(put=put, gone=gone), fetch).warnings
        except Misfit as error:
            before = _misfits(live, held, self._secrets.fetch(held, {}, own))
            told = [
                (writer.where(one.named, one.loc), one.message) for one in error.problems if str(one) not in before
            ] + [(Where(""), line) for line in error.of_file if line not in before]
            if told:
                # A key given where the name of its variable belongs is quoted as what it was taken for.
                lines = "\n".join(redact_shapes(where.says(message)) for where, message in told)
                raise InvalidRequest(lines, param=told[0][0].field or None) from None
            return ()


class _KeyPlan:
    """The keys that a file says, and once the store has asked, the steps that make them."""

    def __init__(self, asking: Asking | None = None, said: tuple[Said, ...] = ()) -> None:
        self.said, self.steps = said, list[KeyStep]()
        self._asking, self._held = asking, NOTHING

    def known(self, held: Held) -> Held:
        """What is held, the keys that are said among it: limits of the same file may be theirs."""
        there = {key.name for key in held.keys}
        new = [one.section.name for one in self.said if one.section.name not in there]
        self._held = held.with_keys(HeldKey(file_key_id(name), name) for name in new)
        return self._held

    def __call__(self, held: HeldKeys) -> list[KeyStep]:
        if self._asking is not None:
            self.steps = applied_keys.plan(held, self._asking, self.said, self._held)
        return self.steps


def _misfits(live: Configuration, held: Held, fetch: whole.Fetch) -> set[str]:
    try:
        whole.combine(live, held, fetch)
    except Misfit as error:
        return {*map(str, error.problems), *error.of_file}
    return set()


def _refuse_limits_of_nothing(live: Configuration, held: Held, steps: Sequence[Step], writer: Writer) -> None:
    """Raises ``InvalidRequest`` for limits of providers, accounts and models that are not there after ``steps``."""
    put = [step for step in steps if step.after is not None]
    limits = [step for step in put if planning.given_upstream(step.entity.kind, step.entity.document)]
    if not limits:
        return
    after = held.changed(
        put=[step.entity for step in put],
        gone=[step.entity for step in steps if step.after is None],
    )
    names = Names(merging.merge(live.tree, after).tree)
    told = [
        (writer.where((step.entity.kind, after.name(step.entity)), (word,)), message)
        for step in limits
        for word, owner in step.entity.words.items()
        if word in UPSTREAM and (message := names.limited_problem(word, owner))
    ]
    if told:
        raise InvalidRequest("\n".join(where.says(line) for where, line in told), param=told[0][0].field or None)


def _may_change(caller: Caller, kind: str) -> None:
    objects.kind_of(kind)
    if kind in PLATFORM:
        refuse_guests(caller, f"{kind} are")


def refuse_guests(caller: Caller, what: str) -> None:
    if caller.organisation != DEFAULT_ORGANISATION:
        raise PermissionDenied(f"{what} the matter of the organisation that runs the gateway")


def _document(text: bytes) -> dict[str, Tree]:
    try:
        found = entities.as_tree(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the document is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequest("the document must be a mapping of keys to values")
    return found


def _check(entity: Entity, writer: Writer, named: Named) -> None:
    try:
        entities.check(entity)
    except InvalidRequest as error:
        raise placed(error, writer, named) from None


def _file(text: str, filename: str) -> tuple[Tree, Config, Places]:
    """A file's tree, what it says, and where each key stands in it. Raises ``InvalidRequest``: each problem with its
    line."""
    read = document.read(text)
    if read.tree is None and not read.problems:  # a pipe that broke, say
        raise InvalidRequest(f"{filename}: the file is empty; to take away all that it has made, say {{}}")
    tree = read.tree if read.tree is not None else {}
    config, wrong = schema.validate(tree)
    _refuse([*read.problems, *wrong, *rules.repeated(tree)], read.places, filename)
    assert config is not None  # noqa: S101 — else there was a problem
    return tree, config, read.places


def _refuse(found: Sequence[Problem], places: Places, filename: str) -> None:
    if found:
        told = map(redact_shapes, render(found, places, filename))
        raise InvalidRequest("\n".join(told), param=dotted(found[0].loc) or None)


def _object(name: str, entity: Entity) -> ConfigObject:
    return ConfigObject(
        kind=entity.kind,
        name=name,
        document=msgspec.json.encode(entities.typed(entity.kind, entity.document)),
        etag=str(entity.version),
        managed_by=entity.managed_by,
        source=entity.source,
        created=entity.created,
        updated=entity.updated,
    )


def _live_object(one: FileObject, filename: str) -> ConfigObject:
    return ConfigObject(
        kind=one.kind,
        name=one.name,
        document=msgspec.json.encode(entities.typed(one.kind, planning.shown(one.document))),
        etag=one.etag,
        managed_by=planning.FILE,
        source=filename,
    )


def _provider_is_held(held: Held, one: FileObject) -> bool:
    """An account of a provider that the store has taken over from the file."""
    return one.kind == "accounts" and held.get("providers", one.name.partition("/")[0]) is not None


def _changed(step: Step, name: str, writer: Writer) -> ObjectChange:
    kind, found = step.entity.kind, planning.outcome(step, name, writer)
    before, after = (
        redacted(entities.typed(kind, one)) if one is not None else None for one in (found.before, found.after)
    )
    return _told(found.action, kind, name, before, after)


def _key_changed(step: KeyStep) -> ObjectChange:
    return _told(*applied_keys.outcome(step))


def _told(action: str, kind: str, name: str, before: object, after: object) -> ObjectChange:
    encoded = (msgspec.json.encode(one) if one is not None else b"" for one in (before, after))
    return ObjectChange(action, kind, name, *encoded)
