"""How much a model is to think, where the operator says so rather than the client.

The wish is written in the words that the target itself uses, so that no codec has to guess between an effort and a
budget: efforts for OpenAI's formats and Ollama's, Claude from 4.6 and Gemini from 3 on, tokens for the others. Claude
is told the same behind Bedrock, Gemini behind Cloud Code; who takes no word on thinking is told none.
"""

from typing import Final

import msgspec
from omni_catalogue.dialects import gemini_version
from omni_catalogue.rules import ThinkingRule
from omni_wire.formats import WireFormat

from omni_translator.domain.codecs.anthropic_messages.encode import will_think
from omni_translator.domain.dialects import (
    claude_of,
    cohere_thinks,
    thinking_budgets,
    thinks_adaptively,
    thinks_by_level,
)
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Role, Sampling, Text, Thinking

# Other vendors' ways to say it on a Chat request, which no codec reads: z.ai's and DeepSeek's, OpenRouter's, Qwen's.
_OTHER_WORDS: Final = frozenset({"thinking", "reasoning", "enable_thinking", "thinking_budget", "reasoning_effort"})
_BUDGETS: Final = {
    "none": 0, "minimal": 1_024, "low": 4_096, "medium": 8_192, "high": 24_576, "xhigh": 32_768, "max": 65_536,
}  # fmt: skip
# What an adaptive budget starts from.
_BASES: Final = {"none": 0, "minimal": 512, "low": 1_024, "medium": 10_240, "high": 131_072}
_MANY_MESSAGES, _MANY_TOOLS, _LONG_TEXT = 10, 3, 2_000
_LEAST: Final = 1_024  # of Anthropic's budgets
_FIRST_GEMINI_THINKER: Final = (2, 5)
_SILENT: Final = (WireFormat.KIRO_CONVERSATION, WireFormat.CURSOR_CHAT)


class Target(msgspec.Struct, frozen=True):
    """``limit`` and ``max_output`` in tokens, 0 when unknown: what this answer and any answer may have."""

    format: WireFormat
    model: str
    limit: int = 0
    max_output: int = 0


def strip(conversation: Conversation) -> Conversation:
    """Nothing is said of thinking, so that the model decides; or cannot be told, because it does not think."""
    extra = {key: value for key, value in conversation.extra.items() if key not in _OTHER_WORDS}
    if conversation.thinking is None and len(extra) == len(conversation.extra):
        return conversation
    return msgspec.structs.replace(conversation, thinking=None, extra=extra)


def think(conversation: Conversation, rule: ThinkingRule, target: Target, losses: Losses) -> Conversation:
    """The client's wish, replaced by the rule's."""
    home = conversation.origin is target.format
    bare = strip(conversation)
    spoken = _spoken(target)
    if spoken is None:
        return bare
    target = spoken
    if rule.mode == "adaptive":
        budget = adaptive_budget(conversation, rule.effort)
        wish = _by_budget(budget, target)
    elif rule.effort:
        wish = _by_effort(rule.effort, target)
    else:
        wish = _by_budget(rule.budget, target)
    told = conversation.thinking.summary if conversation.thinking is not None else ""
    if wish is None:
        return bare
    anthropic = target.format is WireFormat.ANTHROPIC_MESSAGES
    if anthropic and not home and wish.mode == "disabled":  # as Anthropic does by itself
        return bare
    ruled = msgspec.structs.replace(bare, thinking=msgspec.structs.replace(wish, summary=told))
    if home and anthropic:
        return _at_anthropic(conversation, ruled, target, losses)
    return ruled


def _spoken(target: Target) -> Target | None:
    """The same with the format whose words it takes, and the name that its model has there; None for nobody's."""
    if target.format is WireFormat.BEDROCK_CONVERSE:
        claude = claude_of(target.model)
        if not claude:
            return None
        return msgspec.structs.replace(target, format=WireFormat.ANTHROPIC_MESSAGES, model=claude)
    if target.format is WireFormat.CLOUDCODE_GENERATE:
        return msgspec.structs.replace(target, format=WireFormat.GEMINI_GENERATE)
    if target.format is WireFormat.COHERE_CHAT:
        return target if cohere_thinks(target.model) else None
    return None if target.format in _SILENT else target


def adaptive_budget(conversation: Conversation, effort: str = "") -> int:
    """More thought for more to think about: by the effort that was asked for (else ``effort``, else medium), times
    1 + ½ for many messages + ½ for many tools + 0.3 for a long question."""
    base = _base(conversation.thinking, effort or "medium")
    many_messages = 5 if len(conversation.messages) > _MANY_MESSAGES else 0
    many_tools = 5 if len(conversation.tools) > _MANY_TOOLS else 0
    long_text = 3 if _last_user_text(conversation) > _LONG_TEXT else 0
    return base * (10 + many_messages + many_tools + long_text) // 10


def effort_of(budget: int) -> str:
    return "none" if budget <= 0 else "low" if budget <= 1_024 else "medium" if budget <= 10_240 else "high"


def _base(wish: Thinking | None, default: str) -> int:
    if wish is None or (not wish.effort and wish.mode not in ("enabled", "disabled")):
        return _BASES.get(default, _BASES["high"])
    if wish.mode == "disabled":
        return 0
    if wish.effort:
        return _BASES.get(wish.effort, _BASES["high"])
    return _BASES[effort_of(wish.budget or _BASES["medium"])]


def _by_effort(effort: str, target: Target) -> Thinking | None:
    if _speaks_effort(target):
        return _effort(effort, target)
    return _by_budget(_BUDGETS[effort], target)


def _by_budget(budget: int, target: Target) -> Thinking | None:
    if _speaks_effort(target):
        return _effort(effort_of(budget), target)
    return _budget(budget, target)


def _speaks_effort(target: Target) -> bool:
    if target.format is WireFormat.ANTHROPIC_MESSAGES:
        return thinks_adaptively(target.model)
    if target.format is WireFormat.GEMINI_GENERATE:
        return thinks_by_level(target.model)
    return target.format is not WireFormat.COHERE_CHAT


def _effort(effort: str, target: Target) -> Thinking | None:
    if target.format is WireFormat.ANTHROPIC_MESSAGES:
        if effort == "none":
            return Thinking(mode="disabled")
        known = {"minimal": "low", "xhigh": "max"}
        return Thinking(mode="adaptive", effort=known.get(effort, effort))
    if target.format is WireFormat.GEMINI_GENERATE:
        known = {"none": "minimal", "xhigh": "high", "max": "high"}
        return Thinking(effort=known.get(effort, effort))
    if target.format is WireFormat.OLLAMA_CHAT:
        known = {"minimal": "low", "xhigh": "high", "max": "high"}
        return Thinking(mode="disabled") if effort == "none" else Thinking(effort=known.get(effort, effort))
    return Thinking(effort="xhigh" if effort == "max" else effort)


def _budget(budget: int, target: Target) -> Thinking | None:
    """Tokens, as far as the model and this answer have room for them; None where there is none to speak of."""
    if target.format is WireFormat.GEMINI_GENERATE:
        if gemini_version(target.model) < _FIRST_GEMINI_THINKER:
            return None
        low, high = thinking_budgets(target.model)
        if budget <= 0 and low != 128:  # a Pro always thinks
            return Thinking(mode="disabled")
        return Thinking(mode="enabled", budget=min(max(budget, low), high))
    if budget <= 0:
        return Thinking(mode="disabled")
    room = min((bound for bound in (target.limit, target.max_output) if bound), default=budget + 1) - 1
    budget = min(max(budget, _LEAST), room)
    return Thinking(mode="enabled", budget=budget) if budget >= _LEAST else None


def _at_anthropic(before: Conversation, ruled: Conversation, target: Target, losses: Losses) -> Conversation:
    """A request that Anthropic takes: what it does not let think stays as it was, and thought bars a temperature."""
    if ruled.thinking is None or ruled.thinking.mode == "disabled":
        return ruled
    asked = msgspec.structs.replace(
        ruled, origin=WireFormat.OPENAI_CHAT, max_output=target.limit or ruled.max_output, model=target.model
    )
    if not will_think(asked):
        return before
    sampling = ruled.sampling
    low_top_p = sampling.top_p is not None and sampling.top_p < 0.95
    if sampling.temperature in (None, 1) and sampling.top_k is None and not low_top_p:
        return ruled
    for field in ("temperature", "top_k", "top_p"):
        if getattr(sampling, field) is not None:
            losses.dropped(field, "Anthropic takes none while thinking")
    return msgspec.structs.replace(ruled, sampling=Sampling(stop=sampling.stop))


def _last_user_text(conversation: Conversation) -> int:
    """Characters."""
    for message in reversed(conversation.messages):
        if message.role is Role.USER:
            size = sum(len(part.text) for part in message.parts if isinstance(part, Text))
            if size:
                return size
    return 0
