"""What the raw tree of a configuration names, and what is wrong with a name that stands for a model.

Works on what was written, as ``rules`` does: what is of another shape is for the schema to refuse.
"""

from collections.abc import Iterator
from typing import TypeAlias

from omni_catalogue.snapshot import Wildcard
from omni_catalogue.wildcards import Matcher, is_wildcard

from omni_auth.domain.document import Tree
from omni_auth.domain.problems import suggestion

Mapped: TypeAlias = dict[str, Tree]

ANY_LISTED = "*"  # as a target's model: all that its provider lists


def items(section: Tree, key: str) -> list[Tree]:
    listed = section.get(key) if isinstance(section, dict) else None
    return listed if isinstance(listed, list) else []


def mappings(section: Tree, key: str) -> list[Mapped]:
    return [item for item in items(section, key) if isinstance(item, dict)]


def model_of(target: Tree) -> Tree:
    """What a target names, which may stand by itself."""
    return target.get("model") if isinstance(target, dict) else target


class Names:
    """``providers`` and ``combos`` are by name, ``aka`` maps further names of providers to their ids."""

    def __init__(self, tree: Tree) -> None:
        self.providers = {word: each for each in mappings(tree, "providers") if isinstance(word := each.get("id"), str)}
        self.combos = {word: each for each in mappings(tree, "combos") if isinstance(word := each.get("name"), str)}
        self.aliases = {word for each in mappings(tree, "aliases") if isinstance(word := each.get("name"), str)}
        self.prices = mappings(tree, "prices")
        self.aka = {
            word: provider
            for provider, section in self.providers.items()
            for word in items(section, "aka")
            if isinstance(word, str) and word not in self.providers
        }
        self._listed = {provider: self._lists(section) for provider, section in self.providers.items()}
        self._owners: dict[str, list[str]] = {}
        for provider, listed in self._listed.items():
            for model in listed:
                self._owners.setdefault(model, []).append(provider)

    def provider(self, word: str) -> Mapped | None:
        return self.providers.get(self.aka.get(word, word))

    def listed(self, word: str) -> list[str]:
        """The models that a provider lists, in that order; those last that have a price of their own there, where any
        model is passed through."""
        return self._listed.get(self.aka.get(word, word), [])

    def _lists(self, provider: Mapped) -> list[str]:
        models = self._models(provider)
        found = list(models or ())
        if models is None or ANY_LISTED in models:
            own = [price.get("model") for price in self.prices if price.get("provider") == provider["id"]]
            found += [model for model in own if isinstance(model, str)]
        return [model for model in dict.fromkeys(found) if model != ANY_LISTED]

    def spread(self, target: str) -> Iterator[tuple[Mapped, str]]:
        """The providers and models that a target, which is no combo, names."""
        word, _, model = target.partition("/")
        provider = self.provider(word)
        if provider is not None and model:
            for each in self.listed(word) if model == ANY_LISTED else [model]:
                yield provider, each

    def target_problem(self, target: str) -> str:
        """Why it cannot stand in a combo, as far as that is a matter of names."""
        if target in self.combos:
            return ""
        word, slash, model = target.partition("/")
        if target in self.aliases and (not slash or self.provider(word) is None):
            return "is an alias; name what it stands for"
        if not slash or not model or not word:
            return f"must be provider/model, provider/* or the name of a combo{suggestion(target, self.combos)}"
        if model == ANY_LISTED and self.provider(word) is not None:
            told = f"provider '{word}' lists no model that '*' could stand for; list some there, or name one here"
            return "" if self.listed(word) else told
        return self.model_problem(target)

    def alias_problem(self, name: str, target: str) -> str:
        """Why an alias cannot stand for ``target``."""
        if target in self.combos:
            return ""
        if "*" in target and is_wildcard(name):
            return self._template_problem(name, target)
        problem = self.model_problem(target)
        if not problem:
            return ""
        owners = self._owners.get(target, [])
        if len(owners) == 1:
            return ""
        if owners:
            return f"is listed by several providers: name one of {', '.join(f'{owner}/{target}' for owner in owners)}"
        if target in self.aliases:
            return "is an alias; name what it stands for"
        return f"{problem}; an alias stands for a combo, for provider/model or for an id that one provider lists"

    def _template_problem(self, name: str, target: str) -> str:
        if "*" not in name:
            return f"must not have '*', as '{name}' has none whose characters it could take"
        provider = Matcher(Wildcard(name=target.partition("/")[0], target=""))
        words = [*self.providers, *self.aka]
        anything = any(self._passes_any(word) and provider.matches(word) for word in words) and "/" in target
        there = [*self.combos, *(model for word in self.providers for model in self.listed(word))]
        there += [f"{word}/{model}" for word in words for model in self.listed(word)]
        whole = Matcher(Wildcard(name=target, target=""))
        if anything or any(map(whole.matches, there)):
            return ""
        return "there is nothing here that it could come to: no combo, no provider/model and no model's id"

    def model_problem(self, target: str) -> str:
        """Why it is no provider's model."""
        word, slash, model = target.partition("/")
        if not slash or not model or not word:
            return "must be provider/model"
        provider = self.provider(word)
        if provider is None:
            return f"there is no provider '{word}'{suggestion(word, [*self.providers, *self.aka])}"
        if "*" in model:
            return "must name one model, without '*'"
        models = self._models(provider)
        if models is not None and ANY_LISTED not in models and model not in models:
            return f"provider '{word}' has no model '{model}'{suggestion(model, models)}"
        return ""

    def limited_problem(self, word: str, owner: str) -> str:
        """Why there can be no limit of it: ``word`` is what it is, a provider, an account or a model."""
        provider, _, rest = owner.partition("/")
        if word == "tier":
            return ""
        if provider in self.aka:
            return f"'{provider}' is another name of the provider '{self.aka[provider]}': say that"
        if provider not in self.providers:
            return f"there is no provider '{provider}'{suggestion(provider, self.providers)}"
        if word == "model":
            return self.model_problem(owner)
        accounts = [str(each.get("name")) for each in mappings(self.providers[provider], "accounts")]
        if word == "account" and rest not in accounts:
            return f"provider '{provider}' has no account '{rest}'{suggestion(rest, accounts)}"
        return ""

    def _passes_any(self, word: str) -> bool:
        models = self._models(self.provider(word) or {})
        return models is None or ANY_LISTED in models

    def _models(self, provider: Mapped) -> list[str] | None:
        """The ids as written, or None where there is nothing to check against: it passes any through."""
        if not isinstance(provider.get("models"), list):
            return None
        return [word for each in mappings(provider, "models") if isinstance(word := each.get("id"), str)]
