"""What a change of the configuration does to the store, decided before anything is written.

Every function takes what is held and gives the steps, or raises ``InvalidRequest``: 404 for what is not there, 409 for
what somebody else manages or still uses, 412 for another version than the one that was meant.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeGuard

import msgspec
from omni_catalogue.snapshot import UPSTREAM
from omni_wire.errors import InvalidRequest, PermissionDenied

from omni_auth.domain import objects
from omni_auth.domain.audit import REDACTED
from omni_auth.domain.document import Tree
from omni_auth.domain.entities import DEFAULT_ORGANISATION, KINDS, Entity, same
from omni_auth.domain.objects import FileObject, Held, Named
from omni_auth.domain.problems import Loc, Problem, dotted, undotted

KEEP = "keep"  # {vault: keep}: what is sealed for this account already
API, FILE = "api", "file"


class Step(msgspec.Struct, frozen=True):
    """One entity before and after. ``secret`` is what to seal for it."""

    before: Entity | None
    after: Entity | None
    secret: str = ""

    @property
    def action(self) -> str:
        return "create" if self.before is None else "update" if self.after is not None else "delete"

    @property
    def entity(self) -> Entity:
        found = self.after or self.before
        assert found is not None  # noqa: S101 — one of them is
        return found

    def __repr__(self) -> str:
        return f"Step({self.action}, {self.entity.kind}, {self.entity.id!r})"


class Outcome(msgspec.Struct, frozen=True):
    """What a step does to what is in force, the live file's objects among it: ``action`` is "create", "update",
    "delete" or "adopt", where only who manages it changes. ``before`` is what was in force."""

    action: str
    before: Mapping[str, Tree] | None
    after: Mapping[str, Tree] | None


class Where(msgspec.Struct, frozen=True):
    """A field as whoever asked knows it, and the line of the file that it stands in, where one was given."""

    field: str
    line: str = ""

    def says(self, message: str) -> str:
        return ": ".join(part for part in (self.line, self.field, message) if part)


class Writer(msgspec.Struct, frozen=True):
    """For whom steps are made. ``mint`` gives ids that sort by time; ``version`` tells a secret of an account, by the
    account's id, without giving it away. ``live`` is what the live file says, ``filename`` its name; ``where`` is how
    whoever asks knows a place in an object."""

    organisation: str
    mint: Callable[[], str]
    version: Callable[[str, str], str]
    live: Mapping[Named, FileObject]
    filename: str
    where: Callable[[Named, Loc], Where]
    managed_by: str = API
    source: str = ""

    def __repr__(self) -> str:
        return f"Writer({self.organisation!r})"


def put(
    held: Held, writer: Writer, kind: str, name: str, document: Mapping[str, Tree], *, if_match: str = "", new: bool
) -> list[Step]:
    """No steps where nothing changes. ``new`` asks that there be nothing yet."""
    found = held.get(kind, name)
    _expect(kind, name, found, if_match)
    if found is not None and new:
        raise InvalidRequest(f"there is a {KINDS[kind].word} '{name}' already", status=412, code="version_mismatch")
    _refuse_managed(held, writer, kind, name)
    step = _write(held, writer, kind, name, document)
    return [step] if step is not None else []


def delete(held: Held, writer: Writer, kind: str, name: str, *, if_match: str = "") -> list[Step]:
    found = held.get(kind, name)
    _expect(kind, name, found, if_match)
    _refuse_managed(held, writer, kind, name)
    if found is None:
        raise objects.unknown(kind, name)
    used = [f"{one.kind}/{held.name(one)}" for one in held.users(found)]
    used += [f"keys/{key.name}" for key in held.keys_of(found)]
    if used:
        told = used[0]
        raise InvalidRequest(f"this {KINDS[kind].word} still has {told}", status=409, code="in_use")
    return [Step(found, None)]


def adopt(held: Held, writer: Writer, kind: str, name: str, *, if_match: str = "") -> list[Step]:
    """Into the API's hands, with what belongs to it. What the API manages already stays as it is."""
    found = held.get(kind, name)
    if found is not None:
        _expect(kind, name, found, if_match)
        mine = [entity for entity in (found, *held.users(found)) if entity.managed_by == FILE]
        return [Step(one, msgspec.structs.replace(one, managed_by=API, source="")) for one in mine]
    live = writer.live.get((kind, name))
    if live is None:
        raise objects.unknown(kind, name)
    if if_match and if_match != live.etag:
        raise _mismatch(kind, name, live.etag)
    if kind == "accounts":
        raise InvalidRequest(
            f"an account of {writer.filename} is adopted with its provider: adopt providers/{name.partition('/')[0]}",
            status=409,
            code="managed_by_file",
        )
    wanted = [
        live,
        *(one for one in writer.live.values() if one.kind == "accounts" and one.name.startswith(f"{name}/")),
    ]
    return _write_all(held, writer, wanted if kind == "providers" else [live])


def apply(held: Held, writer: Writer, wanted: Mapping[Named, FileObject], *, take_over: bool = False) -> list[Step]:
    """What a file says, as objects that ``writer`` manages. As a file's, those of the same source that it says no more
    are gone. Conflicts are told all at once."""
    if not take_over:
        _refuse_conflicts(held, writer, wanted)
    kept = {kind: [one for one in wanted.values() if one.kind == kind] for kind in objects.IN_FILE}
    steps = _write_all(held, writer, [one for kind in objects.IN_FILE for one in kept[kind]])
    if writer.managed_by == FILE:
        gone = [
            entity
            for named, entity in held.items()
            if entity.managed_by == FILE and entity.source == writer.source and named not in wanted
        ]
        left = held.changed(put=[step.entity for step in steps], gone=gone)
        for entity in gone:
            if used := left.users(entity):
                told = f"{entity.kind}/{held.name(entity)} is not in {writer.source} any more"
                raise InvalidRequest(
                    f"{told}, but {used[0].kind}/{left.name(used[0])} still belongs to it",
                    status=409,
                    code="in_use",
                )
        order = sorted(gone, key=lambda entity: objects.IN_FILE.index(entity.kind), reverse=True)
        steps += [Step(entity, None) for entity in order]
    return steps


def out_of_order(held: Held, wanted: Mapping[Named, FileObject]) -> Iterator[Problem]:
    """Providers whose accounts a file lists in another order than the one in which they are held, which is that of
    their birth and does not change."""
    listed: dict[str, list[str]] = {}
    for kind, name in wanted:
        if kind == "accounts":
            listed.setdefault(name.partition("/")[0], []).append(name)
    ages = {name: age for age, ((kind, name), _) in enumerate(held.items()) if kind == "accounts"}
    for provider, names in listed.items():
        by_age = sorted(names, key=lambda name: ages.get(name, len(ages)))
        if by_age != names:
            told = ", ".join(name.partition("/")[2] for name in by_age)
            yield Problem(
                (*wanted["providers", provider].loc, "accounts"),
                f"warning: they stay in the order in which they first came ({told}); to change it take out those that "
                "are to come later, apply, and put them back",
            )


def shown(document: Mapping[str, Tree]) -> dict[str, Tree]:
    """A document without a secret in it."""
    hidden: dict[str, Tree] = {
        kind.secret: {"value": REDACTED}
        for kind in KINDS.values()
        if kind.secret and isinstance(said := document.get(kind.secret), dict) and "value" in said
    }
    notify = document.get("notify")
    if isinstance(notify, dict) and isinstance(listed := notify.get("webhooks"), list):
        hidden["notify"] = {**notify, "webhooks": [_without_value(item) for item in listed]}
    return {**document, **hidden}


def _without_value(item: Tree) -> Tree:
    """A webhook without the secret that stands in it."""
    if isinstance(item, dict) and isinstance(said := item.get("secret"), dict) and "value" in said:
        return {**item, "secret": {"value": REDACTED}}
    return item


def _write_all(held: Held, writer: Writer, wanted: Iterable[FileObject]) -> list[Step]:
    """Kind by kind: one belongs to objects of kinds before its own, never to another of its kind."""
    steps = list[Step]()
    for _, alike in groupby(wanted, lambda one: one.kind):
        made = []
        for one in alike:
            try:
                step = _write(held, writer, one.kind, one.name, one.document)
            except InvalidRequest as error:
                raise placed(error, writer, (one.kind, one.name)) from None
            if step is not None:
                made.append(step)
        held = held.changed(put=[step.entity for step in made])
        steps += made
    return steps


def _write(held: Held, writer: Writer, kind: str, name: str, document: Mapping[str, Tree]) -> Step | None:
    found = held.get(kind, name)
    given, label = objects.parts(kind, name)
    field = KINDS[kind].label
    if field:
        if document.get(field, label) != label:
            raise InvalidRequest(f"{field}: must be '{label}', as the object is called", param=field)
        document = {field: label, **document}
    given, document = _with_words(kind, given, document)
    if given_upstream(kind, document) and writer.organisation != DEFAULT_ORGANISATION:
        raise PermissionDenied("limits of what is upstream are the matter of the organisation that runs the gateway")
    if kind == "organisations":
        entity_id, organisation = label, label
    else:
        new = objects.file_limit_id(name) if (kind, name) in writer.live and kind == objects.LIMITS else ""
        entity_id, organisation = (found.id if found else new or writer.mint()), writer.organisation
    entity = Entity(
        kind=kind,
        id=entity_id,
        organisation=organisation,
        document=dict(document),
        relations=held.relations(kind, given),
        managed_by=writer.managed_by,
        source=writer.source,
    )
    entity, secret = _with_key(entity, name, found, writer)
    if found is not None:
        if same(kind, entity.document, found.document):
            entity = msgspec.structs.replace(entity, document=found.document)
        entity = msgspec.structs.replace(
            entity, version=found.version, created=found.created, updated=found.updated, organisation=found.organisation
        )
        if entity == found:
            return None
    return Step(found, entity, secret)


def _with_words(
    kind: str, given: Mapping[str, str], document: Mapping[str, Tree]
) -> tuple[dict[str, str], Mapping[str, Tree]]:
    """Of what an object's name says that it belongs to, what are entities, and the document with what are none."""
    words = KINDS[kind].words
    for word in words:
        if (said := document.get(word)) is not None and said != given.get(word):
            meant = f"'{given[word]}', as the object is called" if word in given else "left out: its name has none"
            raise InvalidRequest(f"{word}: must be {meant}", param=word)
    named = {word: owner for word, owner in given.items() if word in words}
    return {word: owner for word, owner in given.items() if word not in words}, {**named, **document}


def given_upstream(kind: str, document: Mapping[str, Tree]) -> bool:
    return kind == objects.LIMITS and any(document.get(word) is not None for word in UPSTREAM)


def _with_key(entity: Entity, name: str, found: Entity | None, writer: Writer) -> tuple[Entity, str]:
    """The account or proxy with its secret taken out of the document, and the secret. What is kept is what is sealed
    for it, or stands in the live file."""
    field = KINDS[entity.kind].secret
    said = entity.document.get(field)
    if found is None and said == {"vault": KEEP} and _has_value(live := writer.live.get((entity.kind, name))):
        said = live.document[field]
    if not field or not isinstance(said, dict) or len(said) != 1:
        return entity, ""
    secret = ""
    before = found.document.get(field) if found is not None else None
    if isinstance(value := said.get("value"), str) and value:
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise InvalidRequest(f"{field}: has characters that no HTTP header can carry", param=field)
        version = writer.version(entity.id, value)
        secret = value
    elif isinstance(word := said.get("vault"), str):
        held = before.get("vault") if isinstance(before, dict) else None
        if not isinstance(held, str) or word not in (KEEP, held):
            raise InvalidRequest(
                f"{field}: nothing is sealed for this {KINDS[entity.kind].word} under that version; give the secret as "
                "{value: …}, or name an env or a file",
                param=field,
            )
        version = held
    else:
        return entity, ""
    if before == {"vault": version}:
        secret = ""
    return msgspec.structs.replace(entity, document={**entity.document, field: {"vault": version}}), secret


def _has_value(live: FileObject | None) -> TypeGuard[FileObject]:
    said = live.document.get(KINDS[live.kind].secret) if live is not None else None
    return isinstance(said, dict) and "value" in said


def sealed_version(entity: Entity | None) -> str:
    """Of what is sealed for an account or a proxy; "" where nothing is."""
    said = entity.document.get(KINDS[entity.kind].secret) if entity is not None else None
    return str(said.get("vault", "")) if isinstance(said, dict) else ""


def is_sealed(entity: Entity | None) -> bool:
    return bool(sealed_version(entity))


def _expect(kind: str, name: str, found: Entity | None, if_match: str) -> None:
    if if_match and (found is None or str(found.version) != if_match):
        raise _mismatch(kind, name, str(found.version) if found is not None else "")


def _mismatch(kind: str, name: str, there: str) -> InvalidRequest:
    told = f'is at version "{there}" now; read it again' if there else "is not there"
    return InvalidRequest(f"the {KINDS[kind].word} '{name}' {told}", status=412, code="version_mismatch")


def _refuse_managed(held: Held, writer: Writer, kind: str, name: str) -> None:
    found = held.get(kind, name)
    owner = objects.parts(kind, name)[0].get("provider", "") if kind != objects.LIMITS else ""
    if found is not None and found.managed_by == FILE:
        source = found.source or "a file"
    elif found is None and (kind, name) in writer.live:
        source = writer.filename
    elif found is None and owner and held.get("providers", owner) is None and ("providers", owner) in writer.live:
        raise InvalidRequest(
            f"the provider '{owner}' is managed by {writer.filename}: adopt it first, or change the file",
            status=409,
            code="managed_by_file",
        )
    else:
        return
    raise InvalidRequest(
        f"the {KINDS[kind].word} '{name}' is managed by {source}: change it there, or adopt it first",
        status=409,
        code="managed_by_file",
    )


def _refuse_conflicts(held: Held, writer: Writer, wanted: Mapping[Named, FileObject]) -> None:
    told = []
    for kind, name in wanted:
        found = held.get(kind, name)
        if found is not None and (found.managed_by, found.source) != (writer.managed_by, writer.source):
            told.append(f"{kind}/{name} is managed by {found.source or 'the API'}")
        elif found is None and (kind, name) in writer.live and writer.filename != writer.source:
            told.append(f"{kind}/{name} is managed by {writer.filename}")
    refuse_conflicts(told)


def refuse_conflicts(told: Sequence[str]) -> None:
    """Raises ``InvalidRequest`` where there is a line about something that others manage, by its path."""
    if told:
        raise InvalidRequest(
            "\n".join([*told, "say so if they are to be taken over"]),
            status=409,
            code="conflict",
            param=told[0].split()[0],
        )


def asked(of: Named | None, named: Named, loc: Loc) -> Where:
    """``Writer.where`` for whoever asks about one object."""
    field = dotted(loc)
    return Where(field if named == of else "/".join(named) + (f": {field}" if field else ""))


def placed(error: InvalidRequest, writer: Writer, named: Named) -> InvalidRequest:
    """What is wrong with one object, told by its place."""
    param = error.param or ""
    where = writer.where(named, undotted(param))
    message = where.says(error.message.removeprefix(f"{param}: "))
    return InvalidRequest(message, status=error.status, code=error.code, param=where.field or None)


def outcome(step: Step, name: str, writer: Writer) -> Outcome:
    kind = step.entity.kind
    live = writer.live.get((kind, name))
    before, after = (_in_force(kind, entity, live) for entity in (step.before, step.after))
    field = KINDS[kind].secret
    is_copied = step.before is None and _has_value(live) and live.document[field] == {"value": step.secret}
    if is_copied and before is not None and after is not None:  # sealed now, and the same
        before = {**before, field: after[field]}
    if before is None or after is None:
        return Outcome(step.action, before, after)
    return Outcome("adopt" if same(kind, before, after) else "update", before, after)


def _in_force(kind: str, entity: Entity | None, live: FileObject | None) -> Mapping[str, Tree] | None:
    """What is in force where the store has ``entity`` and the live file says ``live``: see ``merging.merge``."""
    said = live.document if live is not None else None
    if entity is None:
        return said
    if kind != objects.SETTINGS or said is None:
        return entity.document
    parts = {**said, **entity.document}
    return {part: _over(said.get(part), entity.document.get(part)) for part in parts}


def _over(said: Tree, held: Tree) -> Tree:
    return {**said, **held} if isinstance(said, dict) and isinstance(held, dict) else held or said


def named(steps: Sequence[Step], held: Held) -> list[tuple[Step, str]]:
    """Each step with the name of its object; deletions are named as they were."""
    after = held.changed(put=[step.after for step in steps if step.after is not None])
    return [(step, after.name(step.entity)) for step in steps]
