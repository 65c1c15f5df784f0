"""A snapshot made ready for looking things up: which candidates serve a requested id, and what a key may ask for.

Resolution order: combo by exact name, then "provider/model" split at the first slash, where the provider may go by
another name of its own, then a bare id that exactly one provider lists, then a wildcard alias. A name stays what it is
while that is switched off: nothing else is served for it.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TypeVar

import msgspec
from omni_wire.errors import AmbiguousModel, ModelNotFound, PermissionDenied, WireError

from omni_catalogue.rules import Effective, Facts, Rules, resolve
from omni_catalogue.scopes import Scopes
from omni_catalogue.snapshot import (
    UPSTREAM,
    Account,
    Combo,
    Hedge,
    KeyPolicy,
    Limit,
    Model,
    Provider,
    Snapshot,
    Timeouts,
)
from omni_catalogue.wildcards import Matcher, ranked
from omni_catalogue.windows import is_known

T = TypeVar("T")

AUTO = "auto"  # the combo of all providers; behind a slash comes an id for which it is that of all who list it

# Requested ids come from clients, so what is remembered about them is bounded.
_MEMO = 4096


class Candidate(msgspec.Struct, frozen=True):
    """One place a request can go."""

    provider: Provider
    model: Model
    account: Account


class Plan(msgspec.Struct, frozen=True):
    """``candidates`` in the order to try them; ``combo`` is empty unless a combo was asked for."""

    requested: str
    combo: str
    candidates: tuple[Candidate, ...]


class Listed(msgspec.Struct, frozen=True):
    """A model id that can be asked for; sizes in tokens, 0 when unknown."""

    id: str
    owned_by: str
    context: int = 0
    max_output: int = 0


def upstream_of(candidate: Candidate) -> tuple[tuple[str, str], ...]:
    """What a limit may be ``of`` to hold there, whoever asks, and its ``owner`` then."""
    provider = candidate.provider
    owners = provider.id, candidate.account.id, f"{provider.id}/{candidate.model.id}", provider.tier
    return tuple(zip(UPSTREAM, owners, strict=True))


class Catalogue:
    """One snapshot, indexed. Immutable but for a bounded memo of resolved ids.

    Raises ``WireError`` for a snapshot that contradicts itself: it names something twice, or a combo's target or a
    key's limit nowhere; or that has a time zone which this machine does not know.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._providers = _named("provider", ((provider.id, provider) for provider in snapshot.providers))
        self._combos = _named("combo", ((combo.name, combo) for combo in snapshot.combos))
        self._keys = _named("key", ((key.id, key) for key in snapshot.keys))
        self._limits = _named("limit", ((limit.id, limit.counted()) for limit in snapshot.limits))
        self._limits_of: dict[tuple[str, str, str], tuple[Limit, ...]] = {}  # by organisation, of what, and its name
        for limit in snapshot.limits:
            if limit.zone and not is_known(limit.zone):
                raise WireError(f"this machine does not know the time zone {limit.zone!r} of a limit", "limits")
            place = "" if limit.of in UPSTREAM else limit.organisation, limit.of, limit.owner
            self._limits_of[place] = (*self._limits_of.get(place, ()), self._limits[limit.id])
        for key in snapshot.keys:
            if missing := [limit for limit in key.limits if limit not in self._limits]:
                raise WireError(f"the key {key.id!r} has a limit that is not there: {missing[0]!r}", "keys")
        self._off = frozenset(snapshot.off.models)
        self._off_bare = frozenset(model.partition("/")[2] for model in snapshot.off.models) - {"*"}
        # Of these no provider's model is meant, though one may have the same id.
        self._reserved = frozenset((*self._combos, *snapshot.off.combos, *snapshot.off.idle))
        for combo in snapshot.combos:
            for target in combo.targets:
                if self._model(target) is None:
                    raise WireError(f"the combo {combo.name!r} has a target that is not there: {target!r}", "combos")
        self._bare: dict[str, list[str]] = {}
        for provider in snapshot.providers:
            for model in provider.models:
                if model.id != "*":
                    self._bare.setdefault(model.id, []).append(f"{provider.id}/{model.id}")
        self._wildcards = ranked(snapshot.wildcards)
        self._plans: dict[str, Plan] = {}
        self._allowed: dict[tuple[str, str], bool] = {}

    def key(self, key_id: str) -> KeyPolicy | None:
        return self._keys.get(key_id)

    def limits(self, policy: KeyPolicy) -> tuple[Limit, ...]:
        """Those that the key shares with others."""
        return tuple(self._limits[limit] for limit in policy.limits)

    def limits_of_tags(self, policy: KeyPolicy, tags: Iterable[str]) -> tuple[str, ...]:
        """The ids of those that a request of the key has besides its key's, for its tags."""
        found = (self._limits_of.get((policy.organisation, "tag", tag), ()) for tag in tags)
        return tuple(limit.id for each in found for limit in each if limit.id not in policy.limits)

    @property
    def has_limits_upstream(self) -> bool:
        return any(of in UPSTREAM for _, of, _ in self._limits_of)

    def limits_upstream(self, candidate: Candidate) -> tuple[Limit, ...]:
        """Those of what is asked there, whoever asks."""
        if not self._limits_of:
            return ()
        found = (self._limits_of.get(("", *place), ()) for place in upstream_of(candidate))
        return tuple(limit for each in found for limit in each)

    def combo(self, name: str) -> Combo | None:
        return self._combos.get(name)

    def plan(self, requested: str) -> Plan:
        """The candidates for a requested id. Raises ``ModelNotFound`` or ``AmbiguousModel``."""
        plan = self._plans.get(requested)
        if plan is None:
            plan = self._resolve(requested)
            if len(self._plans) >= _MEMO:
                self._plans.clear()
            self._plans[requested] = plan
        return plan

    def plan_for(self, policy: KeyPolicy, requested: str) -> Plan:
        """As ``plan``, of the providers that the key may use: a bare id that only one of them lists is its.

        Raises ``PermissionDenied`` when none is left.
        """
        scopes = policy.scopes
        if not scopes.providers:
            try:
                return self.plan(requested)
            except AmbiguousModel:
                meant, _ = self._meant(requested)
                owners = [owner for owner in self._owners(meant) if self.may_ask(policy, owner)]
                raise self._ambiguous(requested, meant, owners) from None
        meant, _ = self._meant(requested)
        if owner := self._off_provider(meant):
            if not scopes.has_provider(owner):
                raise _no_provider(requested)
            return self.plan(requested)  # which tells it: no other provider that lists the same id stands in
        owners = self._owners(meant)
        own = [owner for owner in owners if scopes.has_provider(owner.partition("/")[0])]
        if len(owners) > len(own) and self._model(meant) is None:
            if len(own) > 1:
                raise self._ambiguous(requested, meant, own)
            if not own:
                raise _no_provider(requested)
            return Plan(requested, "", self.plan(own[0]).candidates)
        if meant not in self._combos and self._is_off_elsewhere(scopes, meant):
            raise _no_provider(requested)
        plan = self.plan(requested)
        left = tuple(candidate for candidate in plan.candidates if scopes.has_provider(candidate.provider.id))
        if not left:
            raise _no_provider(requested)
        return Plan(requested, plan.combo, left)

    def rules(self, policy: KeyPolicy, combo: str, provider: Provider, model: Model) -> Effective:
        """What holds for a key's request that goes to a model; ``combo`` is that of the plan."""
        asked = self._combos.get(combo)
        facts = Facts(
            format=provider.format,
            base_url=provider.base_url,
            model=model.id,
            reasons=model.reasons,
            context=model.context,
            max_output=model.max_output,
        )
        places = (self.snapshot.rules, provider.rules, asked.rules if asked is not None else Rules(), policy.rules)
        return resolve(facts, *places)

    def timeouts(self, combo: str, provider: Provider) -> Timeouts:
        """What holds for a request that goes to a provider; ``combo`` is that of the plan."""
        asked = self._combos.get(combo)
        timeouts = provider.timeouts.over(self.snapshot.routing.timeouts)
        return asked.timeouts.over(timeouts) if asked is not None else timeouts

    def hedge(self, combo: str, provider: Provider) -> Hedge:
        """What holds for a request that goes to a provider; ``combo`` is that of the plan."""
        asked = self._combos.get(combo)
        return (asked.hedge if asked is not None else None) or provider.hedge or self.snapshot.routing.hedge

    def may_ask(self, policy: KeyPolicy, requested: str) -> bool:
        """Whether one of the key's patterns matches the id as asked for, or what it stands for: a bare id for
        provider/model, another name of a provider for its id.

        Which id of a wildcard alias is asked for is the client's to choose, so that the id alone allows nothing there:
        the pattern must match the alias as it is written too, or match what the id stands for."""
        memo = (policy.id, requested)
        allowed = self._allowed.get(memo)
        if allowed is None:
            meant, wildcard = self._meant(requested)
            names = [meant, *self._owners(meant)]
            if wildcard is None:
                names.append(requested)
            allowed = any(fnmatchcase(name, pattern) for name in names for pattern in policy.models)
            if wildcard is not None and not allowed:
                both = (requested, wildcard.name)
                allowed = any(all(fnmatchcase(name, pattern) for name in both) for pattern in policy.models)
            if len(self._allowed) >= _MEMO:
                self._allowed.clear()
            self._allowed[memo] = allowed
        return allowed

    def listed(self, policy: KeyPolicy) -> list[Listed]:
        """What the key may ask for by name and would get: combos first, then provider/model. Wildcards have no name to
        list, and of two things by one name there is the one that an answer would come from."""
        entries = {combo.name: Listed(combo.name, "combo") for combo in self.snapshot.combos}
        for provider in self.snapshot.providers:
            for model in provider.models:
                if model.id != "*":
                    name = f"{provider.id}/{model.id}"
                    entries.setdefault(name, Listed(name, provider.id, model.context, model.max_output))
        return [
            entry for entry in entries.values() if self.may_ask(policy, entry.id) and self._serves(policy, entry.id)
        ]

    def _serves(self, policy: KeyPolicy, requested: str) -> bool:
        try:
            return bool(self.plan_for(policy, requested).candidates)
        except (ModelNotFound, AmbiguousModel, PermissionDenied):
            return False

    def _meant(self, requested: str) -> tuple[str, Matcher | None]:
        """What an id is a name of, without going into what is configured for that, and the alias that says so."""
        if direct := self._direct(requested):
            return direct, None
        for wildcard in self._wildcards:
            if target := wildcard.meant(requested):
                return self._direct(target) or target, wildcard
        if self.snapshot.auto and requested.startswith(f"{AUTO}/"):
            bare = requested.removeprefix(f"{AUTO}/")
            if len(self._bare.get(bare, ())) == 1 or (bare in self._off_bare and bare not in self._bare):
                return bare, None
        return requested, None

    def _direct(self, name: str) -> str:
        """A combo, "provider/model" by the provider's id, or a bare id; "" for none of them."""
        if name in self._reserved:
            return name
        provider, slash, model = name.partition("/")
        by_id = f"{self.snapshot.aka[provider]}/{model}" if slash and provider in self.snapshot.aka else name
        if self._model(by_id) is not None or self._off_provider(by_id):
            return by_id
        return name if name in self._bare or name in self._off_bare else ""

    def _owners(self, requested: str) -> list[str]:
        """What a bare id stands for, as provider/model."""
        return self._bare.get(requested, []) if requested not in self._reserved else []

    def _off_provider(self, requested: str) -> str:
        """The provider that is off and has the model that an id names; "" for none."""
        if not self._off or requested in self._reserved:
            return ""
        provider, slash, model = requested.partition("/")
        has_it = slash and model and (requested in self._off or f"{provider}/*" in self._off)
        return provider if has_it else ""

    def _is_off_elsewhere(self, scopes: Scopes, requested: str) -> bool:
        """Whether an id stands for nothing but what is off, at providers that a key may not use: it is not told so."""
        if "*" in scopes.providers or self._bare.get(requested):
            return False
        if requested in self.snapshot.off.idle:
            return True
        owners = [
            owner for model in self._off if (owner := model.partition("/")[0]) and model == f"{owner}/{requested}"
        ]
        return bool(owners) and not all(map(scopes.has_provider, owners))

    def _refuse_off(self, requested: str, meant: str) -> None:
        off = self.snapshot.off
        if meant in off.combos:
            raise _unknown(requested)
        if meant in off.idle:
            raise _switched_off(f"everything that {requested!r} stands for is switched off or blocked here")
        if provider := self._off_provider(meant):
            raise _switched_off(f"the provider {provider!r} is switched off or blocked here")

    def _resolve(self, requested: str) -> Plan:
        meant, _ = self._meant(requested)
        combo = self._combos.get(meant)
        if combo is not None:
            candidates = tuple(candidate for target in combo.targets for candidate in self._target(target))
        else:
            self._refuse_off(requested, meant)
            candidates = self._target(meant)
        if not candidates and combo is None:
            owners = self._bare.get(meant, [])
            if len(owners) > 1:
                raise self._ambiguous(requested, meant, owners)
            if owners:
                candidates = self._target(owners[0])
        if not candidates and meant in self._off_bare:
            raise _switched_off(f"every provider that lists {requested!r} is switched off or blocked here")
        if not candidates:
            raise _unknown(requested)
        return Plan(requested, combo.name if combo is not None else "", candidates)

    def _ambiguous(self, requested: str, bare: str, owners: Iterable[str]) -> AmbiguousModel:
        """``owners`` are those that its key may hear of."""
        named = ", ".join(owners)
        told = f"{requested!r} is offered by several providers"
        told += f": ask for one of {named}" if named else ", and this key may ask for none of them by its name"
        every = f"{AUTO}/{bare}"
        if every in self._combos:
            told += f"; or for {every}, which is all of them, the next where one fails"
        return AmbiguousModel(told, param="model")

    def _target(self, target: str) -> tuple[Candidate, ...]:
        found = self._model(target)
        if found is None:
            return ()
        provider, model = found
        return tuple(Candidate(provider, model, account) for account in provider.accounts)

    def _model(self, target: str) -> tuple[Provider, Model] | None:
        provider_id, slash, model_id = target.partition("/")
        provider = self._providers.get(provider_id)
        if provider is None or not slash or not model_id:
            return None
        model = provider.model(model_id)
        return (provider, model) if model is not None else None


def _unknown(requested: str) -> ModelNotFound:
    return ModelNotFound(
        f"there is no model {requested!r} here; GET /v1/models lists what your key may use", param="model"
    )


def _switched_off(message: str) -> ModelNotFound:
    return ModelNotFound(message, param="model", code="switched_off")


def _no_provider(requested: str) -> PermissionDenied:
    # Without their names: what a key may not use is not shown to it either.
    return PermissionDenied(
        f"none of the providers that this key may use serves {requested!r}", param="model", code="provider_not_allowed"
    )


def _named(what: str, things: Iterable[tuple[str, T]]) -> dict[str, T]:
    named: dict[str, T] = {}
    for name, thing in things:
        if name in named:
            raise WireError(f"two {what}s are called {name!r}", f"{what}s")
        named[name] = thing
    return named
