"""A request to ``/api/chat``, written.

Neighbours of one role are one turn to Ollama, which joins them itself, so several texts of a turn go as several
messages. There is no choice among tools: whoever may not call them is not offered them.
"""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.ollama_chat.content import HOME
from omni_translator.domain.codecs.ollama_chat.messages import MessageWriter
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Json, OutputFormat, Thinking, Tool
from omni_translator.domain.normal import merged
from omni_translator.domain.plain import plain

_NO_PARAMETERS: Final[Json] = {"type": "object", "properties": {}}
_LEVELS: Final = ("low", "medium", "high")  # docs.ollama.com/capabilities/thinking
_NEAREST: Final = {"minimal": "low", "xhigh": "high", "max": "high"}
# What a client of another format may spell out though it is the default.
_UNSAID: Final[Json] = {
    "n": 1,
    "logprobs": False,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "truncation": "disabled",
}


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("Ollama")
    home = conversation.origin is HOME
    conversation = conversation if home else plain(conversation, losses)
    writer = MessageWriter(conversation.origin, losses)
    messages: list[Json] = []
    for message in conversation.messages if home else merged(conversation.messages):
        messages += writer.write(message)
    if not messages:
        raise WireError("messages hold nothing that Ollama takes", "messages")
    body: Json = {"model": conversation.model, "messages": messages, "stream": conversation.stream}
    _tools(conversation, body, losses)
    if conversation.output_format is not None:
        body["format"] = _format(conversation.output_format, home, losses)
    if conversation.thinking is not None:
        _thinking(conversation.thinking, body, home, losses)
    options = _options(conversation)
    if options:
        body["options"] = options
    if home:
        overlay(body, conversation.extra)
    else:
        if conversation.user:
            losses.dropped("user")
        if conversation.verbosity:
            losses.dropped("text.verbosity")
        losses.unknown(conversation.extra, unsaid=_UNSAID)
    return Encoded(to_json(body), losses.all())


def _options(conversation: Conversation) -> Json:
    sampling = conversation.sampling
    keys = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")
    options: Json = {key: value for key in keys if (value := getattr(sampling, key)) is not None}
    if sampling.stop:
        options["stop"] = list(sampling.stop)
    if conversation.max_output is not None:
        options["num_predict"] = conversation.max_output
    return options


def _tools(conversation: Conversation, body: Json, losses: Losses) -> None:
    home, choice = conversation.origin is HOME, conversation.tool_choice
    offered: set[str] | None = None  # None: all of them
    if conversation.parallel_tools is False:
        losses.dropped("parallel_tool_calls", "Ollama has no such switch")
    if choice is not None and not conversation.tools:
        losses.dropped("tool_choice", "there are no tools to choose from")
    elif choice is not None and choice.mode == "none":
        losses.approximated("tool_choice", "the tools are not offered")
        offered = set()
    elif choice is not None and choice.mode == "named":
        losses.approximated("tool_choice", "no other tool is offered, but none is called for certain")
        offered = {choice.name}
    elif choice is not None:
        if choice.mode == "required":
            losses.dropped("tool_choice", "Ollama calls tools when it sees fit")
        if choice.allowed:
            losses.approximated("tool_choice", "only these tools are offered")
            offered = set(choice.allowed)
    tools: list[Json] = []
    for tool in conversation.tools:
        if isinstance(tool, Tool):
            if offered is None or tool.name in offered:
                tools.append(_tool(tool, home, losses))
        elif tool.origin is HOME:
            tools.append(tool.data)
        else:
            losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
    if tools:
        body["tools"] = tools


def _tool(tool: Tool, home: bool, losses: Losses) -> Json:
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None or not home:
        function["parameters"] = _NO_PARAMETERS if tool.schema is None else tool.schema
    out: Json = {"type": "function", "function": function}
    if home:
        overlay(out, tool.extra)
        return out
    if tool.strict:
        losses.dropped("tools.strict", "Ollama has no such switch")
    if tool.cache is not None:
        losses.dropped("tools.cache_control", "Ollama caches prompts by itself")
    losses.unknown(tool.extra, "tools")
    return out


def _format(form: OutputFormat, home: bool, losses: Losses) -> str | Json:
    if not home:
        if form.name:
            losses.dropped("response_format.json_schema.name")
        if form.description:
            losses.dropped("response_format.json_schema.description")
        if form.kind == "json_schema" and not form.strict:
            losses.approximated("response_format.json_schema.strict", "Ollama always keeps to the schema")
        if form.kind == "json_schema" and form.schema is None:
            losses.approximated("response_format", "a schema was announced and not given; any JSON is asked for")
    return "json" if form.schema is None else form.schema


def _thinking(wish: Thinking, body: Json, home: bool, losses: Losses) -> None:
    """``think`` is a switch, or a level for models that know levels."""
    effort, mode = wish.effort, wish.mode
    if home:
        body["think"] = effort or mode != "disabled"
        return
    if wish.summary and wish.summary != "auto":
        losses.approximated("reasoning.summary", "Ollama has one length of it")
    if mode == "disabled" or effort == "none":
        if effort:
            losses.approximated("reasoning_effort", "sent as think: false")
        body["think"] = False
        return
    if effort:
        level = effort if effort in _LEVELS else _NEAREST.get(effort, "")
        if not level:
            losses.dropped("reasoning_effort", "an effort Ollama does not know")
            return
        if level != effort:
            losses.approximated("reasoning_effort", f"sent as level {level}")
        if mode:
            losses.approximated("thinking.type", "sent as a level")
        body["think"] = level
        return
    if mode == "enabled":
        losses.approximated("thinking.budget_tokens", "Ollama has no budget for it")
    if mode:
        body["think"] = True
    elif wish.summary:
        losses.dropped("reasoning.summary", "Ollama tells thoughts when asked to think")
