"""Keys that an applied file says, made stored keys: what is done is decided here, before anything is written.

By name, within the organisation. A key keeps its id, usage and budget whatever of it changes; a new one gets the id
that it has as a key of the live file, so that the same file is the same gateway in both places.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from omni_catalogue.keyshape import is_wellformed
from omni_catalogue.scopes import Scopes, may_hand_out
from omni_catalogue.snapshot import Budget, KeyPolicy, Price
from omni_wire.errors import InvalidRequest, PermissionDenied

from omni_auth.domain import key_rules
from omni_auth.domain.apikeys import (
    HINT,
    LOCAL_NAME,
    OlderSecret,
    StoredKey,
    file_key_id,
    is_an_id,
    presented_digest,
    stored_digest,
)
from omni_auth.domain.compilation import ANONYMOUS, file_key_policy, stored_key_policy
from omni_auth.domain.configuration import SHORT_KEY
from omni_auth.domain.objects import NOTHING, Held
from omni_auth.domain.owners import OWNERS, owner_id
from omni_auth.domain.planning import Where, refuse_conflicts
from omni_auth.domain.problems import Loc, Problem
from omni_auth.domain.scalars import NANO
from omni_auth.domain.secrecy import SecretUnreadable
from omni_auth.domain.sections.base import SecretSource
from omni_auth.domain.sections.limits import KeySection


class HeldKeys(msgspec.Struct, frozen=True):
    """``own`` are an organisation's keys in force, by name; ``revoked`` maps ids of its others to their last digest and
    when they were (epoch seconds); ``used`` maps every digest that a key of any organisation has or had to its id."""

    own: Mapping[str, StoredKey]
    revoked: Mapping[str, OlderSecret]
    used: Mapping[bytes, str]


class Said(msgspec.Struct, frozen=True):
    """A key of a file, with the digest of its secret; ``hint`` is what may be shown of that."""

    section: KeySection
    digest: bytes
    is_shaped: bool = True
    hint: str = ""


class Asking(msgspec.Struct, frozen=True):
    """For whom keys are made. ``source`` is the file that manages them, empty for the API; ``live`` are the keys of the
    live file ``filename``; ``scopes`` are those of who asks, None where nobody says; ``where`` tells a place of the
    file; ``now`` in epoch seconds."""

    organisation: str
    source: str
    live: Mapping[str, Said]
    filename: str
    scopes: Scopes | None
    where: Callable[[Loc], Where]
    now: int
    take_over: bool = False


class KeyStep(msgspec.Struct, frozen=True):
    """A key before and after. ``live`` is what the live file says under its name, where no stored key stood for it;
    ``held`` knows what teams and users are called."""

    before: StoredKey | None
    after: StoredKey
    live: Said | None = None
    held: Held = NOTHING

    @property
    def action(self) -> str:
        """As the audit log names it."""
        if self.before is None:
            return "create"
        return "update" if self.before.digest == self.after.digest else "rotate"


def read(
    sections: Sequence[KeySection], fetch: Callable[[SecretSource], str], pepper: bytes
) -> tuple[tuple[Said, ...], list[Problem], list[Problem]]:
    """The keys of a file, with what of their secrets cannot be had, and what is to be warned of."""
    found, missing, doubts = [], [], []
    for index, section in enumerate(sections):
        loc = ("keys", index, "secret")
        try:
            secret = fetch(section.secret)
        except SecretUnreadable as error:
            missing.append(Problem(loc, str(error)))
            continue
        if len(secret) < SHORT_KEY:
            doubts.append(Problem(loc, f"warning: shorter than {SHORT_KEY} characters, which can be guessed"))
        found.append(said(section, secret, pepper))
    return tuple(found), missing, doubts


def said(section: KeySection, secret: str, pepper: bytes) -> Said:
    """Of a secret that is a minted key its public id is shown, of any other nothing."""
    shaped = is_wellformed(secret)
    digest = stored_digest(pepper, presented_digest(secret))
    return Said(section, digest, shaped, secret[:HINT] if shaped else "")


def plan(held: HeldKeys, asking: Asking, wanted: Sequence[Said], there: Held = NOTHING) -> list[KeyStep]:
    """``there`` has the teams and users. What is wrong is told all at once. Raises ``InvalidRequest``, and
    ``PermissionDenied`` for keys that who asks may not hand out. A key that is not wanted stays as it is."""
    _refuse_conflicts(held, asking, wanted)
    problems = [
        (asking.where(("keys", index, field)), message)
        for index, one in enumerate(wanted)
        for field, message in (*_problems(held, asking, wanted[:index], one), *_strangers(there, one))
    ]
    if problems:
        raise InvalidRequest("\n".join(where.says(told) for where, told in problems), param=problems[0][0].field)
    steps = [step for one in wanted if (step := _step(held, asking, one, there)) is not None]
    for step in steps:
        _refuse_too_much(asking.scopes, step)
    return steps


def aside(filename: str, name: str) -> str:
    """What is told of a key of the live file that a stored one stands for."""
    return f"{filename}: keys/{name}: is managed by the API now and left aside here; take it out of the file"


def outcome(step: KeyStep) -> tuple[str, str, str, object, object]:
    """What a step does to what is in force, as an ``ObjectChange`` has it, without a secret or a digest."""
    action, before, after = _outcome(step)
    return action, "keys", step.after.name, before, after


def _outcome(step: KeyStep) -> tuple[str, dict[str, object] | None, dict[str, object]]:
    after = _told_of(step.after, step.held)
    if step.before is not None:
        before, kept = _told_of(step.before, step.held), step.before.digest == step.after.digest
    elif step.live is not None:
        before, kept = _told(file_key_policy(step.live.section)), step.live.digest == step.after.digest
    else:
        return "create", None, after
    if kept:
        return "adopt" if before == after else "update", before, after
    return "update", {**before, "secret": "the present one"}, {**after, "secret": "another one"}


def _refuse_too_much(scopes: Scopes | None, step: KeyStep) -> None:
    """Neither a key that may do more than who asks does, nor another one in the place of such a key."""
    if scopes is None:
        raise PermissionDenied(
            "the file has keys, and whoever passed it on (a dashboard of an earlier version?) does not say which you "
            "may hand out"
        )
    if not scopes.may_manage("keys", write=True):
        raise PermissionDenied("the file has keys, and this key may not change keys", code="area_not_allowed")
    live = file_key_policy(step.live.section) if step.live is not None else None
    before = step.before if step.before is not None else live
    for key, doing in ((step.after, "hand out"), (before, "change")):
        if key is None:
            continue
        try:
            may_hand_out(scopes, key.role, key.scopes, doing)
        except PermissionDenied as error:
            raise PermissionDenied(f"keys/{step.after.name}: {error.message}") from None


def _refuse_conflicts(held: HeldKeys, asking: Asking, wanted: Sequence[Said]) -> None:
    told = []
    for one in wanted if not asking.take_over else ():
        name = one.section.name
        found = held.own.get(name)
        if found is not None and found.source != asking.source:
            told.append(f"keys/{name} is managed by {found.source or 'the API'}")
        elif found is None and name in asking.live and asking.filename != asking.source:
            told.append(f"keys/{name} is managed by {asking.filename}")
    refuse_conflicts(told)


def _problems(held: HeldKeys, asking: Asking, before: Sequence[Said], one: Said) -> list[tuple[str, str]]:
    name = one.section.name
    found = held.own.get(name)
    problems = []
    if name in (LOCAL_NAME, ANONYMOUS):
        problems.append(("name", f"the name '{name}' is taken by the gateway itself; choose another"))
    if is_an_id(name) or any(key.id == name for key in held.own.values()):
        problems.append(("name", f"'{name}' is what a key's id looks like; choose another name"))
    twin = next((i for i, other in enumerate(before) if other.digest == one.digest), None)
    if twin is not None:
        problems.append(("secret", f"is the same secret as that of keys[{twin}]; each key needs its own"))
    elif any(other != name and key.digest == one.digest for other, key in asking.live.items()):
        problems.append(("secret", f"is the secret of another key, in {asking.filename}; each key needs its own"))
    elif (found is None or found.digest != one.digest) and one.digest in held.used:
        mine = (found.id if found is not None else file_key_id(name)) == held.used[one.digest]
        why = "was revoked, or a newer one has replaced it" if mine else "is that of another key, or of one revoked"
        problems.append(("secret", f"this secret {why}; give the key a new one"))
    return problems


def _strangers(there: Held, one: Said) -> list[tuple[str, str]]:
    """The teams and users it names that are not there."""
    problems = []
    for field in OWNERS:
        try:
            owner_id(there, field, getattr(one.section, field))
        except InvalidRequest as error:
            problems.append((field, error.message.removeprefix(f"{field}: ")))
    return problems


def _step(held: HeldKeys, asking: Asking, one: Said, there: Held) -> KeyStep | None:
    found = held.own.get(one.section.name)
    after = _stored(held, asking, one, found, there)
    if after == found:
        return None
    return KeyStep(found, after, asking.live.get(one.section.name) if found is None else None, there)


def _stored(held: HeldKeys, asking: Asking, one: Said, found: StoredKey | None, there: Held) -> StoredKey:
    older: tuple[OlderSecret, ...]
    section, policy = one.section, file_key_policy(one.section)
    budget = policy.budget or Budget(nano_usd=0)
    if found is None:
        ended = held.revoked.get(policy.id)
        key_id, created, older = policy.id, asking.now, (ended,) if ended else ()
    else:
        key_id, created, older = found.id, found.created, found.older if found.digest == one.digest else ()
    return StoredKey(
        id=key_id,
        name=section.name,
        role=policy.role,
        models=policy.models,
        requests_per_minute=policy.requests_per_minute,
        budget_nano_usd=budget.nano_usd,
        budget_window=budget.window,
        unpriced=budget.unpriced,
        assumed_price=budget.assumed_price,
        unaffordable=budget.unaffordable,
        created=created,
        hint=one.hint,
        digest=one.digest,
        organisation=asking.organisation,
        rules=policy.rules,
        scopes=policy.scopes,
        older=older,
        source=asking.source,
        is_shaped=one.is_shaped,
        team=owner_id(there, "team", section.team),
        user=owner_id(there, "user", section.user),
        tags=policy.tags,
        no_bodies=policy.no_bodies,
        when_away=policy.when_away,
    )


def _told_of(key: StoredKey, there: Held) -> dict[str, object]:
    owners = {field: there.owner_name(field, getattr(key, field)) for field in OWNERS}
    return _told(stored_key_policy(key)) | {field: name for field, name in owners.items() if name}


def _told(policy: KeyPolicy) -> dict[str, object]:
    """In the words of a file."""
    scopes, budget = policy.scopes, policy.budget
    lists = {name: list(getattr(scopes, name)) for name in ("providers", "endpoints", "ips", "management")}
    rules = key_rules.written(policy.rules)
    more = {
        **{name: words for name, words in lists.items() if words},
        "tags": list(policy.tags) or None,
        "expires": datetime.fromtimestamp(scopes.expires, UTC).isoformat() if scopes.expires else None,
        "limits": {"requests_per_minute": policy.requests_per_minute} if policy.requests_per_minute else None,
        "budget": _budget(budget) if budget is not None else None,
        "when_away": policy.when_away if policy.when_away != "closed" else None,
        "rules": msgspec.json.decode(rules) if rules else None,
        "no_bodies": True if policy.no_bodies else None,
    }
    told = {"name": policy.name, "role": policy.role, "models": list(policy.models)}
    return told | {name: value for name, value in more.items() if value is not None}


def _budget(budget: Budget) -> dict[str, object]:
    unpriced = _price(budget.assumed_price) if budget.assumed_price is not None else budget.unpriced
    told: dict[str, object] = {"usd": _usd(budget.nano_usd), "window": budget.window, "unpriced": unpriced}
    return told if budget.unaffordable == "clamp" else told | {"unaffordable": budget.unaffordable}


def _price(price: Price) -> dict[str, object]:
    rates = ("input", "output", "cached_input", "cache_write", "reasoning")
    told: dict[str, object] = {name: _usd(value) for name in rates if (value := getattr(price, name)) is not None}
    if price.special is not None:
        told |= {name: _usd(value) for name, value in msgspec.to_builtins(price.special).items()}
    if price.batch is not None:
        told["batch"] = _price(price.batch)
    if price.above:
        told["above"] = [{"tokens": step.tokens} | _price(step.price) for step in price.above]
    return told


def _usd(nano: int) -> str:
    return format((Decimal(nano) / NANO).normalize(), "f")
