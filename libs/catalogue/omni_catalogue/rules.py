"""The product's own rules: what four places of the configuration may say of them, and what then holds.

The places are the whole, a provider, a combo and a key; of two the later wins, rule by rule. ``resolve`` makes of them
what a router and a translator do for one model of one provider, asked for by one key.
"""

from urllib.parse import urlsplit

import msgspec
from omni_wire.formats import WireFormat

from omni_catalogue.guards import BLOCK, KINDS, MASK, OFF, AnswerGuards, RequestGuards

KEEP_ALIVE_OFF = -1.0

# Whose Chat endpoints know the developer role: OpenAI's own, Azure's of it, GitHub's.
_KNOW_DEVELOPER = ("openai.com", "azure.com", "github.ai", "githubcopilot.com")
# Models whose providers give thoughts as text between tags (reference: the models' own chat templates).
_THINK_IN_TAGS = ("deepseek-r1", "r1-distill", "r1:", "qwq", "minimax-m1", "minimax-m2", "minimax-m3")
_GLM_TAKES_SYSTEM = (5, 1)

# What has to stand in a body for a rule to find something in it, in whatever format.
_ROLES = (b"developer", b"ystem", b'"instructions"')
_THOUGHTS = (b"hinking", b"reasoning", b"effort")


class ThinkingRule(msgspec.Struct, frozen=True, kw_only=True):
    """``mode`` is "passthrough", "auto" (nothing is said, the model decides), "adaptive" or "custom". Of the latter
    ``effort`` is the word, or if that is empty ``budget`` the tokens."""

    mode: str = "passthrough"
    budget: int = 0
    effort: str = ""


class Rules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one place says; None leaves a rule to the wider place.

    Switches are "auto", "on" or "off". ``progress`` is "off", "asked" or "on"; ``keep_alive`` is in seconds, or
    ``KEEP_ALIVE_OFF``; ``cache`` is which requests the cache answers, as in ``Caching``, or "off", and
    ``semantic_cache`` which of these it answers by meaning.
    ``prompt_prefix`` and ``prompt_suffix`` go before and after a request's system prompt, which ``prompt_skippable``
    lets a client refuse.

    ``pii_request`` and ``pii_answer`` are modes of the guard over personal data, ``pii_kinds`` what it looks for,
    ``pii_patterns`` kinds of the operator's own by name; ``injection`` is the other guard's mode, ``injection_rules``
    what is done about a rule of it (see ``omni_catalogue.guards``).
    """

    developer_to_system: str | None = None
    system_to_user: str | None = None
    sanitize: bool | None = None
    think_tags: str | None = None
    thinking: ThinkingRule | None = None
    prompt_prefix: str | None = None
    prompt_suffix: str | None = None
    prompt_skippable: bool | None = None
    clamp: str | None = None
    stream_on_accept: bool | None = None
    progress: str | None = None
    keep_alive: float | None = None
    cache: str | None = None
    semantic_cache: str | None = None
    pii_request: str | None = None
    pii_answer: str | None = None
    pii_kinds: tuple[str, ...] | None = None
    pii_patterns: dict[str, str] | None = None
    pii_restore: bool | None = None
    injection: str | None = None
    injection_rules: dict[str, str] | None = None


class RequestRules(msgspec.Struct, frozen=True, kw_only=True):
    """What to do to a request. ``strip_thinking`` is for a model that does not reason.

    With ``clamp`` its parameters are brought within what the target takes: ``max_output`` and ``context`` tokens,
    0 when unknown, and the bounds of its format. ``guards`` None: none.
    """

    developer_to_system: bool = False
    system_to_user: bool = False
    thinking: ThinkingRule = ThinkingRule()
    strip_thinking: bool = False
    prefix: str = ""
    suffix: str = ""
    clamp: bool = False
    max_output: int = 0
    context: int = 0
    guards: RequestGuards | None = None


class AnswerRules(msgspec.Struct, frozen=True, kw_only=True):
    """What to do to an answer. ``sanitize`` is of Chat clients' answers only."""

    sanitize: bool = False
    think_tags: bool = False
    guards: AnswerGuards | None = None


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one (key, combo, provider, model), None where there are none.

    ``translated`` are those of a request that changes its format, ``relayed`` of one that does not; unless it holds
    one of ``triggers`` (where there are any) the latter find nothing in a body. ``grows`` bounds the tokens that they
    add to a request.
    """

    translated: RequestRules | None = None
    relayed: RequestRules | None = None
    triggers: tuple[bytes, ...] = ()
    answer: AnswerRules | None = None
    skippable: bool = False
    grows: int = 0
    stream_on_accept: bool = False
    progress: str = "asked"
    keep_alive: float = 0.0

    @property
    def keeps_in(self) -> bool:
        """Whether what a client says must not go to the provider as it stands."""
        guards = self.relayed.guards if self.relayed is not None else None
        return guards is not None and (guards.pii in (MASK, BLOCK) or guards.injection == BLOCK)

    def touch(self, body: bytes) -> bool:
        """Whether ``relayed`` could change this body."""
        return not self.triggers or any(word in body for word in self.triggers)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules need to know of a provider's model; ``reasons`` None when it is not known."""

    format: WireFormat
    base_url: str
    model: str
    reasons: bool | None = None
    context: int = 0
    max_output: int = 0


_NOTHING = RequestRules()
_DEFAULTS = Rules(
    developer_to_system="auto",
    system_to_user="auto",
    sanitize=False,
    think_tags="auto",
    thinking=ThinkingRule(),
    prompt_prefix="",
    prompt_suffix="",
    prompt_skippable=False,
    clamp="auto",
    stream_on_accept=False,
    progress="asked",
    keep_alive=0.0,
)


def merged(*places: Rules) -> Rules:
    """One for all, the widest first."""
    said = {name: value for place in places for name, value in msgspec.structs.asdict(place).items()
            if value is not None}  # fmt: skip
    return Rules(**said)


def resolve(facts: Facts, *places: Rules) -> Effective:
    """What holds of ``places``, the widest first, for one model."""
    rules = merged(_DEFAULTS, *places)
    name = facts.model.lower()
    thinking = rules.thinking or ThinkingRule()
    chat = facts.format is WireFormat.OPENAI_CHAT
    relayed = RequestRules(
        developer_to_system=_on(rules.developer_to_system, auto=chat and not _knows_developer(facts.base_url)),
        system_to_user=_on(rules.system_to_user, auto=takes_no_system(name)),
        thinking=thinking,
        strip_thinking=facts.reasons is False,
        prefix=rules.prompt_prefix or "",
        suffix=rules.prompt_suffix or "",
        clamp=rules.clamp == "on",
        max_output=facts.max_output,
        context=facts.context,
        guards=_of_request(rules),
    )
    translated = msgspec.structs.replace(relayed, clamp=rules.clamp != "off")
    answer = AnswerRules(
        sanitize=bool(rules.sanitize), think_tags=_on(rules.think_tags, auto=thinks_in_tags(name)),
        guards=_of_answer(rules),
    )  # fmt: skip
    added = relayed.prefix + relayed.suffix
    return Effective(
        translated=translated if _does(translated) else None,
        relayed=relayed if _does(relayed) else None,
        triggers=_triggers(relayed),
        answer=answer if answer != AnswerRules() else None,
        skippable=bool(rules.prompt_skippable),
        grows=len(added.encode()) + 16 if added else 0,
        stream_on_accept=bool(rules.stream_on_accept),
        progress=rules.progress or "asked",
        keep_alive=rules.keep_alive or 0.0,
    )


def without_prompt(effective: Effective) -> Effective:
    """The same for a client that refuses the injected prompt, where it may."""
    if not effective.skippable or not effective.grows:
        return effective

    def cut(rules: RequestRules | None) -> RequestRules | None:
        bare = msgspec.structs.replace(rules, prefix="", suffix="") if rules is not None else None
        return bare if bare is not None and _does(bare) else None

    relayed = cut(effective.relayed)
    return msgspec.structs.replace(
        effective,
        translated=cut(effective.translated),
        relayed=relayed,
        triggers=_triggers(relayed) if relayed is not None else (),
        grows=0,
    )


def takes_no_system(model: str) -> bool:
    """GLM before 5.1 and ERNIE pay little heed to a system message, or refuse it."""
    name = model.rpartition("/")[2]
    if name.startswith("ernie-"):
        return True
    if not name.startswith("glm"):
        return False
    version = name[3:].lstrip("-").partition("-")[0].split(".")
    numbers = tuple(int(part) for part in version if part.isdecimal())
    return not numbers or numbers < _GLM_TAKES_SYSTEM


def thinks_in_tags(model: str) -> bool:
    return any(word in model for word in _THINK_IN_TAGS)


def keeps_in(rules: Rules) -> bool:
    """Whether what a client says must not go to others as it stands."""
    return rules.pii_request in (MASK, BLOCK)


def _of_request(rules: Rules) -> RequestGuards | None:
    pii, injection = rules.pii_request or OFF, rules.injection or OFF
    if pii == injection == OFF:
        return None
    return RequestGuards(
        pii=pii,
        kinds=_kinds(rules),
        patterns=tuple((rules.pii_patterns or {}).items()),
        restore=bool(rules.pii_restore),
        injection=injection,
        rules=tuple((rules.injection_rules or {}).items()),
    )


def _of_answer(rules: Rules) -> AnswerGuards | None:
    restore = bool(rules.pii_restore) and rules.pii_request == MASK
    pii = rules.pii_answer or OFF
    if pii == OFF and not restore:
        return None
    patterns = tuple((rules.pii_patterns or {}).items())
    return AnswerGuards(pii=pii, kinds=_kinds(rules), patterns=patterns, restore=restore)


def _kinds(rules: Rules) -> tuple[str, ...]:
    return rules.pii_kinds if rules.pii_kinds is not None else KINDS


def _on(switch: str | None, *, auto: bool) -> bool:
    return switch == "on" or (switch == "auto" and auto)


def _knows_developer(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return any(host == name or host.endswith("." + name) for name in _KNOW_DEVELOPER)


def _does(rules: RequestRules) -> bool:
    """Whether it does anything; its facts alone do nothing."""
    return msgspec.structs.replace(rules, max_output=0, context=0) != _NOTHING


def _triggers(rules: RequestRules) -> tuple[bytes, ...]:
    if rules.prefix or rules.suffix or rules.clamp or rules.guards is not None:
        return ()
    if rules.thinking.mode in ("custom", "adaptive") and not rules.strip_thinking:
        return ()
    words: tuple[bytes, ...] = ()
    if rules.strip_thinking or rules.thinking.mode == "auto":
        words += _THOUGHTS
    if rules.system_to_user:
        return words + _ROLES
    return (*words, b"developer") if rules.developer_to_system else words
