"""The configuration file as a whole: text and environment in, a checked configuration or every problem out.

omniroute.yaml:7: providers[0].tier: must be one of subscription, api_key, cheap, free
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from omni_catalogue.notify import SECRET_PREFIX
from omni_wire.formats import WireFormat

from omni_auth.domain import document, merging, overrides, rules, schema, secrecy
from omni_auth.domain.document import Tree
from omni_auth.domain.objects import NOTHING, Held
from omni_auth.domain.problems import ConfigErrors, Loc, Places, Problem, render
from omni_auth.domain.schema import Config
from omni_auth.domain.sections.limits import KeySection

SHORT_KEY = 16
# They can be configured, so that a file need not change later, but no codec talks to such a provider yet.


class Configuration(msgspec.Struct, frozen=True):
    """A configuration that can be put in force. ``secrets`` maps the place of each source to its secret;
    ``secret_files`` are the files some of them came from; ``warnings`` are rendered lines; ``tree`` is what it was
    made from. ``unfit`` are the providers, combos and aliases of the store that are not in it, by kind and name."""

    config: Config
    secrets: dict[Loc, str]
    filename: str
    secret_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tree: Tree = None
    unfit: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Configuration({self.filename!r})"


class Report(msgspec.Struct, frozen=True):
    """What ``check-config`` tells. Without ``problems`` the file is good; the counts are then those of the file."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    providers: int = 0
    accounts: int = 0
    combos: int = 0
    keys: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems


def empty() -> Configuration:
    """What is in force without a file."""
    return Configuration(Config(), {}, "", tree={})


def load(
    text: str, filename: str, env: Mapping[str, str], read_secret: secrecy.ReadSecret, held: Held = NOTHING
) -> Configuration:
    """Read a file's text with the overrides of ``env`` (``OMNIROUTE__SERVER__PORT=…``) and fetch its secrets. What it
    says must fit what the store has.

    Raises ``ConfigErrors`` with all problems at once, each naming file, line and key.
    """
    read = document.read(text)
    overrides.apply(read, env)
    config, wrong = schema.validate(read.tree)
    secrets, missing = secrecy.resolve(read.tree, env, read_secret)
    files = tuple(dict.fromkeys(source.where for _, source in secrecy.sources(read.tree) if source.kind == "file"))
    # What the reader could not make sense of is not complained about again by the schema.
    unread = {problem.loc for problem in read.problems}
    merged = merging.merge(read.tree, held)
    unfit, _ = merged.sorted_out(rules.cross_check(merged.tree))
    problems = [
        *read.problems,
        *(problem for problem in (*wrong, *unfit, *missing) if problem.loc not in unread),
    ]
    if problems or config is None:
        raise ConfigErrors(render(problems, read.places, filename), files)
    warnings = _warnings(config, secrets, read.places, filename)
    return Configuration(config, secrets, filename, files, warnings, read.tree)


def check(text: str, filename: str, env: Mapping[str, str], read_secret: secrecy.ReadSecret | None = None) -> Report:
    """Say what ``load`` would make of a file. Without ``read_secret`` the secret files are taken on trust."""
    try:
        found = load(text, filename, env, read_secret or _trust)
    except ConfigErrors as error:
        return Report(problems=error.problems)
    return report(found)


def report(found: Configuration) -> Report:
    config = found.config
    return Report(
        warnings=found.warnings,
        providers=len(config.providers),
        accounts=sum(len(provider.accounts) for provider in config.providers),
        combos=len(config.combos),
        keys=len(config.keys),
    )


def declared_keys(text: str, env: Mapping[str, str]) -> tuple[KeySection, ...]:
    """The keys of a file, whether or not their secrets can be had here; none when the file is not good."""
    read = document.read(text)
    overrides.apply(read, env)
    config, _ = schema.validate(read.tree)
    return config.keys if config is not None else ()


def _trust(path: str) -> str:
    # Another for each file, so that none looks used twice, and such as every place of a secret takes.
    return SECRET_PREFIX + hashlib.sha256(path.encode()).hexdigest()


# What each vendor's own SDK takes.
_WITH_VERSION: Final = (WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES)
_WITHOUT_VERSION: Final = (
    WireFormat.ANTHROPIC_MESSAGES,
    WireFormat.GEMINI_GENERATE,
    WireFormat.OLLAMA_CHAT,
    WireFormat.COHERE_CHAT,
)


def _warnings(config: Config, secrets: Mapping[Loc, str], places: Places, filename: str) -> tuple[str, ...]:
    found: list[Problem] = []
    for index, provider in enumerate(config.providers):
        loc = ("providers", index, "base_url")
        path = urlsplit(provider.base_url).path
        if provider.format in _WITHOUT_VERSION:
            if path.rpartition("/")[2] in ("v1", "v1beta", "v2", "api"):
                found.append(Problem(loc, f"warning: for {provider.format.value} it is given without the version"))
        elif provider.format in _WITH_VERSION and not path:
            found.append(Problem(loc, f"warning: for {provider.format.value} it usually ends in /v1"))
    found += _idle_weights(config)
    for index, _key in enumerate(config.keys):
        loc = ("keys", index, "secret")
        if len(secrets[loc]) < SHORT_KEY:
            found.append(Problem(loc, f"warning: shorter than {SHORT_KEY} characters, which can be guessed"))
    return render(found, places, filename)


def _idle_weights(config: Config) -> Iterator[Problem]:
    """Weights where the strategy does not go by them; they may wait there for another."""
    weighed = [
        (("combos", index, "targets", number), combo.strategy, target.weight)
        for index, combo in enumerate(config.combos)
        for number, target in enumerate(combo.targets)
    ]
    weighed += [
        (("providers", index, "accounts", number), provider.strategy, account.weight)
        for index, provider in enumerate(config.providers)
        for number, account in enumerate(provider.accounts)
    ]
    for loc, said, weight in weighed:
        strategy = said or config.routing.strategy
        name = strategy.name if strategy is not None else "fill-first"
        if weight != 1 and name != "weighted":
            told = f"warning: has no effect, as the strategy is {name} and not weighted"
            yield Problem((*loc, "weight"), told)
