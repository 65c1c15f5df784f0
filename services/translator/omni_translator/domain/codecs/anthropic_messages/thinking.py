"""How much to think, in Anthropic's words.

Facts (Anthropic's documentation of extended thinking): ``budget_tokens`` is at least 1024 and below ``max_tokens``;
thinking goes neither with a forced tool nor with a history whose pending tool call lacks its signed thought; from
Claude 4.6 on ``adaptive`` thinking takes an effort instead of a budget.
"""

from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codecs.anthropic_messages.content import HOME
from omni_translator.domain.dialects import thinks_adaptively
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Json, Reasoning, Role, ToolCall

_MIN_BUDGET: Final = 1024
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 10240, "high": 32768, "xhigh": 65536, "max": 65536}
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}


def write_thinking(
    conversation: Conversation, body: Json, losses: Losses, *, model: str = "", signer: WireFormat = HOME
) -> bool:
    """Write ``thinking`` and ``output_config.effort``; whether the model will think.

    ``model`` is Claude's own name, where the provider has another; ``signer`` is the format it is behind.
    """
    wish = conversation.thinking
    if wish is None:
        return False
    if conversation.origin is signer:
        if wish.mode:
            budget = {} if wish.budget is None else {"budget_tokens": wish.budget}
            body["thinking"] = {"type": wish.mode} | budget
        if wish.effort:
            body["output_config"] = {"effort": wish.effort}
        return wish.mode not in ("", "disabled")
    if wish.summary:
        losses.dropped("reasoning.summary", "Anthropic gives thoughts as it likes")
    if not wish.effort and not wish.mode:
        return False
    field = "reasoning_effort" if wish.effort else "thinking"
    if wish.effort == "none" or wish.mode == "disabled":
        losses.approximated(field, "not to think is Anthropic's default")
        return False
    if wish.effort and wish.effort not in _BUDGETS:
        losses.dropped("reasoning_effort", "an effort Anthropic does not know")
        return False
    choice = conversation.tool_choice
    if choice is not None and choice.mode in ("required", "named"):
        losses.dropped(field, "Anthropic does not think when a tool is forced")
        return False
    if thinks_adaptively(model or conversation.model):
        body["thinking"] = {"type": "adaptive"}
        if wish.mode == "adaptive" and not wish.effort:
            return True
        effort = _EFFORTS[wish.effort] if wish.effort else _effort_of(wish.budget or 0)
        body["output_config"] = {"effort": effort}
        if wish.mode != "adaptive" or effort != wish.effort:  # else these are Anthropic's own words
            losses.approximated(field, f"sent as adaptive thinking, effort {effort}")
        return True
    if _unsigned_call_pending(conversation, signer):
        losses.dropped(field, "the pending tool call has no signed thought, which Anthropic wants")
        return False
    wanted = _BUDGETS[wish.effort or "medium"] if wish.effort or wish.budget is None else wish.budget
    budget_tokens = min(max(wanted, _MIN_BUDGET), body["max_tokens"] - 1)
    if budget_tokens < _MIN_BUDGET:
        losses.dropped(field, "the output limit leaves no room to think")
        return False
    body["thinking"] = {"type": "enabled", "budget_tokens": budget_tokens}
    if wish.effort or budget_tokens != wish.budget:
        losses.approximated(field, f"sent as a thinking budget of {budget_tokens} tokens")
    return True


def _effort_of(budget: int) -> str:
    return "low" if budget <= 1024 else "medium" if budget <= 10240 else "high"


def _unsigned_call_pending(conversation: Conversation, signer: WireFormat) -> bool:
    """Whether the last assistant turn calls a tool without a thought that ``signer`` signed."""
    for message in reversed(conversation.messages):
        if message.role is Role.ASSISTANT:
            calls = any(isinstance(part, ToolCall) for part in message.parts)
            signed = any(
                isinstance(part, Reasoning) and part.origin is signer and part.signature for part in message.parts
            )
            return calls and not signed
    return False
