"""Parameters brought within what the target takes, each as a declared approximation.

Bounds: OpenAI's API reference (temperature 0–2, penalties ±2, 4 stop sequences, 128 tools), Anthropic's (temperature
0–1), Bedrock's InferenceConfiguration (the same), Google's GenerationConfig (temperature 0–2, 5 stop sequences).
"""

from typing import Final

import msgspec
from omni_catalogue.rules import RequestRules
from omni_wire.formats import WireFormat

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Opaque, Sampling, Tool

_HOTTEST: Final = {WireFormat.ANTHROPIC_MESSAGES: 1.0, WireFormat.BEDROCK_CONVERSE: 1.0}
_MAX_STOPS: Final = {WireFormat.OPENAI_CHAT: 4, WireFormat.GEMINI_GENERATE: 5, WireFormat.CLOUDCODE_GENERATE: 5}
_MAX_TOOLS: Final = {WireFormat.OPENAI_CHAT: 128, WireFormat.OPENAI_RESPONSES: 128}
_PENALTY: Final = 2.0


def clamp(conversation: Conversation, rules: RequestRules, target: WireFormat, losses: Losses) -> Conversation:
    most = min((bound for bound in (rules.max_output, rules.context) if bound), default=0)
    limit = conversation.max_output
    if most and limit is not None and limit > most:
        losses.approximated("max_tokens", f"the model says at most {most}")
        limit = most
    sampling = _sampling(conversation.sampling, target, losses)
    tools = _tools(conversation, _MAX_TOOLS.get(target, 0), losses)
    if (limit, sampling, tools) == (conversation.max_output, conversation.sampling, conversation.tools):
        return conversation
    return msgspec.structs.replace(conversation, max_output=limit, sampling=sampling, tools=tools)


def _sampling(sampling: Sampling, target: WireFormat, losses: Losses) -> Sampling:
    within = {
        "temperature": (0.0, _HOTTEST.get(target, 2.0)),
        "top_p": (0.0, 1.0),
        "presence_penalty": (-_PENALTY, _PENALTY),
        "frequency_penalty": (-_PENALTY, _PENALTY),
    }
    changes: dict[str, object] = {}
    for field, (low, high) in within.items():
        value = getattr(sampling, field)
        if value is not None and not low <= value <= high:
            changes[field] = min(max(value, low), high)
            losses.approximated(field, f"this provider's range is {low:g} to {high:g}")
    most = _MAX_STOPS.get(target, 0)
    if most and len(sampling.stop) > most:
        changes["stop"] = sampling.stop[:most]
        losses.approximated("stop", f"this provider takes at most {most}")
    return msgspec.structs.replace(sampling, **changes) if changes else sampling


def _tools(conversation: Conversation, most: int, losses: Losses) -> tuple[Tool | Opaque, ...]:
    """The first ones, and among them the one that must be called."""
    tools, choice = conversation.tools, conversation.tool_choice
    if not most or len(tools) <= most:
        return tools
    losses.approximated("tools", f"this provider takes at most {most}")
    kept = tools[:most]
    if choice is not None and choice.mode == "named" and not _named(kept, choice.name):
        kept = kept[:-1] + _named(tools, choice.name)[:1]
    return kept


def _named(tools: tuple[Tool | Opaque, ...], name: str) -> tuple[Tool | Opaque, ...]:
    return tuple(tool for tool in tools if isinstance(tool, Tool) and tool.name == name)
