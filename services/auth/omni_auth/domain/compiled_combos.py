"""Combos and aliases of a checked configuration as routers get them: a combo's targets as one list, and as a tree where
it has combos in it; an alias as a combo of one target, or as the combo that it names. And those that stand for all
providers where nobody configured any."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
from omni_catalogue.catalogue import AUTO
from omni_catalogue.snapshot import TIERS, Combo, Deadlines, Hedge, MidStream, Node, Provider, Wildcard, leaves
from omni_catalogue.wildcards import Matcher, is_wildcard

from omni_auth.domain.compiled_rules import compile_rules
from omni_auth.domain.naming import ANY_LISTED
from omni_auth.domain.schema import Config
from omni_auth.domain.sections.combos import ComboSection, HedgeSection, MidStreamSection, StrategySection


def strategy_fields(section: StrategySection | None, config: Config) -> dict[str, Any]:
    """A strategy in a provider or a combo: what the narrower place says, else what is said for all."""
    chosen = section or config.routing.strategy
    return {"strategy": chosen.name, "sticky": chosen.sticky} if chosen is not None else {"strategy": "fill-first"}


def compile_mid_stream(section: MidStreamSection) -> MidStream:
    return MidStream(
        hold_tokens=section.hold_tokens or 0, hold_seconds=section.hold_seconds or 0.0, resume=section.resume
    )


def compile_hedge(section: HedgeSection | None) -> Hedge | None:
    return Hedge(**section.model_dump()) if section is not None else None


def other_names(config: Config) -> dict[str, str]:
    """Further names of providers, each with the provider's id."""
    return {word: provider.id for provider in config.providers for word in provider.aka}


class ComboCompiler:
    """``providers`` are all that were compiled, with the models that they list."""

    def __init__(self, config: Config, providers: Iterable[Provider]) -> None:
        self._config = config
        self._sections = {combo.name: combo for combo in config.combos}
        self._tags = {provider.id: frozenset(provider.tags) for provider in config.providers}
        self._listed = {
            provider.id: [model.id for model in provider.models if model.id != "*"] for provider in providers
        }
        self._passing = {
            provider.id for provider in config.providers if any(model.id == "*" for model in provider.models)
        }
        self._aka = other_names(config)

    def combos(self) -> tuple[Combo, ...]:
        """Those of exact names, aliases last."""
        combos = {name: self._combo(section) for name, section in self._sections.items()}
        aliases = [
            msgspec.structs.replace(combos[alias.target], name=alias.name)
            if alias.target in combos
            else Combo(name=alias.name, strategy="fill-first", targets=(self._only(alias.target),))
            for alias in self._config.aliases
            if not is_wildcard(alias.name)
        ]
        return (*combos.values(), *aliases)

    def wildcards(self) -> tuple[Wildcard, ...]:
        return tuple(
            Wildcard(name=alias.name, target=alias.target) for alias in self._config.aliases if is_wildcard(alias.name)
        )

    def _combo(self, section: ComboSection) -> Combo:
        nodes = self._nodes(section, frozenset())
        return Combo(
            name=section.name,
            targets=leaves(nodes),
            weights={node.name: node.weight for node in nodes if node.weight != 1 and not node.nodes},
            rules=compile_rules(section.rules),
            nodes=nodes if any(node.nodes for node in nodes) else (),
            timeouts=Deadlines(**section.timeouts.model_dump()),
            mid_stream=compile_mid_stream(section.mid_stream) if section.mid_stream is not None else None,
            hedge=compile_hedge(section.hedge),
            **strategy_fields(section.strategy, self._config),
        )

    def _nodes(self, section: ComboSection, wanted: frozenset[str]) -> tuple[Node, ...]:
        """``wanted`` are the tags that combos around it ask for and nothing around it has."""
        wanted |= frozenset(section.require_tags)
        found: dict[str, Node] = {}
        for target in section.targets:
            left = wanted - frozenset(target.tags)
            if (inner := self._sections.get(target.model)) is not None:
                if nodes := self._nodes(inner, left):
                    strategy = strategy_fields(inner.strategy, self._config)
                    found[inner.name] = Node(name=inner.name, weight=target.weight, nodes=nodes, **strategy)
                continue
            for provider, model in self._spread(target.model):
                if left <= self._tags[provider]:
                    name = f"{provider}/{model}"
                    found.setdefault(name, Node(name=name, weight=target.weight))
        return tuple(found.values())

    def _spread(self, target: str) -> Iterator[tuple[str, str]]:
        word, _, model = target.partition("/")
        provider = self._aka.get(word, word)
        for each in self._listed[provider] if model == ANY_LISTED else [model]:
            yield provider, each

    def _only(self, target: str) -> str:
        """The "provider/model" that an alias stands for, which may have said a bare id."""
        word, slash, model = target.partition("/")
        provider = self._aka.get(word, word)
        if slash and (provider in self._passing or model in self._listed.get(provider, ())):
            return f"{provider}/{model}"
        return next(f"{owner}/{target}" for owner, listed in self._listed.items() if target in listed)


def is_auto(config: Config) -> bool:
    """Whether there are combos that nobody configured; not where "auto/…" is somebody's already."""
    return config.routing.auto and AUTO not in {*other_names(config), *(provider.id for provider in config.providers)}


def auto_combos(config: Config, providers: Iterable[Provider], taken: Iterable[str]) -> Iterator[Combo]:
    """``auto``, the first model of every provider that lists one, and ``auto/<id>`` for an id that several list, each
    by tier. ``taken`` are the names of all other combos: none of them is hidden, nor what a wildcard alias or a
    provider has under such a name."""
    if not is_auto(config):
        return
    first: dict[str, list[str]] = {AUTO: []}
    listed: dict[str, list[str]] = {}
    for provider in sorted(providers, key=lambda provider: TIERS.index(provider.tier)):
        models = [model.id for model in provider.models if model.id != "*"]
        first[AUTO] += [f"{provider.id}/{model}" for model in models[:1]]
        for model in models:
            listed.setdefault(model, []).append(f"{provider.id}/{model}")
    several = {f"{AUTO}/{bare}": owners for bare, owners in listed.items() if len(owners) > 1}
    not_ours = {*taken, *listed}
    wildcards = [Matcher(Wildcard(name=alias.name, target="")) for alias in config.aliases if is_wildcard(alias.name)]
    tiers = {provider.id: provider.tier for provider in providers}
    for name, targets in (first | several).items():
        if targets and name not in not_ours and not any(wildcard.matches(name) for wildcard in wildcards):
            yield _by_tier(name, targets, tiers, strategy_fields(None, config))


def _by_tier(name: str, targets: list[str], tiers: dict[str, str], strategy: dict[str, Any]) -> Combo:
    """Within a tier the strategy for all decides; the tiers themselves are tried as they stand."""
    nodes = tuple(
        Node(name=f"{name} {tier}", nodes=tuple(Node(name=target) for target in alike), **strategy)
        for tier, alike in groupby(targets, lambda target: tiers[target.partition("/")[0]])
    )
    is_plain = strategy["strategy"] == "fill-first"
    return Combo(name=name, strategy="fill-first", targets=tuple(targets), nodes=() if is_plain else nodes)
