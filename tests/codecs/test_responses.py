"""What only Responses has: items, numbered events, freeform tools, namespaces, tools that come as an item."""

import json
from typing import Any

import msgspec
import pytest
from omni_translator.domain.codec import ClientTool, Codec, Reply
from omni_translator.domain.events import Event, Failed, UsageReported, unfold
from omni_translator.domain.model import (
    Conversation,
    FinishReason,
    Message,
    Opaque,
    Reasoning,
    Response,
    Role,
    Text,
    ToolCall,
)
from omni_translator.domain.plain import client_tools
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from tests.codecs.support import CHAT, GEMINI, MESSAGES, REPLY, RESPONSES, TRANSCRIPTS, body, events_of, write_stream

USER = {"role": "user", "content": "hi"}


def read(case: str) -> bytes:
    return (TRANSCRIPTS / RESPONSES.format / case).read_bytes()


def frames(data: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ")]


# ---- answers read ---------------------------------------------------------------------------------------------------


def test_a_failed_response_fails_with_its_message_and_what_it_cost() -> None:
    events, _ = events_of(RESPONSES, [read("failed.sse")])
    assert isinstance(events[-1], Failed)
    assert events[-1].message.startswith("Rate limit reached")
    assert UsageReported(Usage(5, 0, 0, 1)) in events


def test_the_summaries_of_one_item_are_thoughts_and_the_last_is_signed() -> None:
    first, second, text = RESPONSES.decode_response(read("thinking.json")).parts
    assert isinstance(first, Reasoning)
    assert isinstance(second, Reasoning)
    assert (first.text, first.signature) == ("**Adding**\n\nTwo and two.", "")
    assert (second.text, second.signature) == ("Done.", "gAAAAABpHn0m5cQ2")
    assert first.item == second.item == "rs_1"
    assert text == Text("4", item="msg_3")


def test_full_thoughts_are_told_from_summaries() -> None:
    thought, _ = RESPONSES.decode_response(read("full_thoughts.json")).parts
    assert isinstance(thought, Reasoning)
    assert thought.full


def test_freeform_calls_and_namespaces_are_read() -> None:
    thought, custom, call = RESPONSES.decode_response(read("codex.json")).parts
    assert isinstance(thought, Reasoning)
    assert (thought.text, thought.signature) == ("", "gAAAAABpHn0m9dd3")
    assert isinstance(custom, ToolCall)
    assert custom.freeform
    assert custom.arguments.startswith("const r")
    assert isinstance(call, ToolCall)
    assert (call.name, call.namespace) == ("spawn_agent", "multi_agent_v1")


@pytest.mark.parametrize(
    ("status", "details", "finish", "word"),
    [
        ("completed", None, FinishReason.STOP, ""),
        ("incomplete", {"reason": "max_output_tokens"}, FinishReason.LENGTH, ""),
        ("incomplete", {"reason": "content_filter"}, FinishReason.CONTENT_FILTER, ""),
        ("incomplete", {"reason": "max_messages"}, FinishReason.OTHER, "max_messages"),
        ("incomplete", None, None, ""),
        ("in_progress", None, None, ""),
        ("queued", None, None, ""),
    ],
)
def test_every_way_to_end(status: str, details: Any, finish: FinishReason | None, word: str) -> None:
    part = {"type": "output_text", "text": "x", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": [part]}
    whole = {"id": "r", "object": "response", "status": status, "incomplete_details": details, "output": [item]}
    answer = RESPONSES.decode_response(body(whole))
    assert (answer.finish, answer.finish_detail) == (finish, word)
    if finish is not None:
        again = msgspec.json.decode(RESPONSES.encode_response(answer, REPLY).body)
        assert (again["status"], again["incomplete_details"]) == (status, details)


def test_the_echo_of_the_request_is_no_part_of_the_answer() -> None:
    assert RESPONSES.decode_response(read("text.json")).extra == {}


def test_what_items_hold_beyond_their_parts_goes_home() -> None:
    answer = RESPONSES.decode_response(read("parallel_tools.json"))
    assert answer.extra == {"output": [{"phase": "commentary"}, {}, {}]}
    again = msgspec.json.decode(RESPONSES.encode_response(answer, REPLY).body)
    assert again["output"] == json.loads(read("parallel_tools.json"))["output"]


def test_padding_and_numbers_do_not_spoil_the_fast_path() -> None:
    slow: list[bytes] = []

    class Counting(type(RESPONSES.stream_decoder())):  # type: ignore[misc]
        def _read(self, raw: bytes, events: list[Event]) -> None:
            slow.append(raw)
            super()._read(raw, events)

    decoder = Counting()
    decoder.feed(read("padded.sse"))
    # The first one teaches the template, the second that there is padding.
    assert sum(b"response.output_text.delta" in raw.partition(b"\n")[0] for raw in slow) == 2
    assert sum(b"arguments.delta" in raw.partition(b"\n")[0] for raw in slow) == 1


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(
            [
                {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "a"},
                {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}},
            ],
            id="nothing is added before its delta",
        ),
        pytest.param(
            [
                {"type": "response.created", "response": {"id": "r"}},
                {
                    "type": "response.completed",
                    "response": {
                        "id": "r",
                        "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}],
                    },
                },
            ],
            id="all comes at the end",
        ),
    ],
)
def test_providers_ways_of_streaming(stream: list[dict[str, Any]]) -> None:
    events, error = events_of(RESPONSES, [b"".join(b"data: " + body(frame) + b"\n\n" for frame in stream)])
    assert error == ""
    again = msgspec.json.decode(write_stream(CHAT, events).split(b"\n\n")[1][6:])
    assert again["choices"][0]["delta"] == {"content": "a"}


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
        {"type": "response.output_item.added", "output_index": -1, "item": {"type": "message"}},
        {"type": "response.output_text.delta", "output_index": True, "content_index": 0, "delta": "x"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": 1},
        {"type": "response.completed", "response": None},
        {"type": 5},
        {},
    ],
)
def test_events_out_of_their_format_are_wire_errors(frame: dict[str, Any]) -> None:
    decoder = RESPONSES.stream_decoder()
    decoder.feed(b'data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message"}}\n\n')
    with pytest.raises(WireError):
        decoder.feed(b"data: " + body(frame) + b"\n\n")


# ---- answers written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", ["text", "parallel_tools", "thinking", "full_thoughts", "codex", "server_tool", "refusal", "incomplete"]
)
def test_a_stream_written_again_holds_the_same_items(case: str) -> None:
    events, _ = events_of(RESPONSES, [read(f"{case}.sse")])
    again = frames(write_stream(RESPONSES, events))
    assert [frame["sequence_number"] for frame in again] == list(range(len(again)))
    output = json.loads(read(f"{case}.json"))["output"]
    assert again[-1]["response"]["output"] == output
    done = [frame["item"] for frame in again if frame["type"] == "response.output_item.done"]
    assert [item["id"] for item in done] == [item["id"] for item in output]


def test_every_delta_follows_what_it_belongs_to() -> None:
    for source, case in ((CHAT, "interleaved_tools"), (MESSAGES, "thinking"), (MESSAGES, "parallel_tools")):
        events, _ = events_of(source, [(TRANSCRIPTS / source.format / f"{case}.sse").read_bytes()])
        opened: dict[int, str] = {}
        parts: set[tuple[Any, ...]] = set()
        for frame in frames(write_stream(RESPONSES, events)):
            place = (frame.get("item_id"), frame.get("content_index"), frame.get("summary_index"))
            if frame["type"] == "response.output_item.added":
                opened[frame["output_index"]] = frame["item"]["id"]
            elif frame["type"].endswith("part.added"):
                parts.add(place)
            elif frame["type"].endswith(".delta"):
                assert opened[frame["output_index"]] == frame["item_id"]
                assert place in parts or "arguments" in frame["type"]


def test_an_error_is_told_once_for_sdks_and_once_for_codex() -> None:
    events, _ = events_of(RESPONSES, [read("error.sse")])
    *_, delta, error, failed = frames(write_stream(RESPONSES, events))
    assert [error["type"], failed["type"]] == ["error", "response.failed"]
    assert [error["sequence_number"], failed["sequence_number"]] == [
        delta["sequence_number"] + 1,
        delta["sequence_number"] + 2,
    ]
    assert "The server had an error" in error["error"]["message"]
    assert failed["response"]["error"]["message"] == error["message"]


def answer_of(*parts: Any, origin: WireFormat = WireFormat.OPENAI_CHAT) -> Response:
    return Response(origin=origin, id="x", model="m", parts=parts, finish=FinishReason.TOOL_CALLS)


TOOLS = {
    "exec": ClientTool("exec", "", True),
    "multi_agent_v1__spawn": ClientTool("spawn", "multi_agent_v1"),
}


@pytest.mark.parametrize("arguments", ['{"input":"ls *.py\\n"}', '{"input": "ls *.py\\u000a"}'])
def test_calls_get_their_clients_form_back(arguments: str) -> None:
    answer = answer_of(
        ToolCall(id="1", name="exec", arguments=arguments),
        ToolCall(id="2", name="multi_agent_v1__spawn", arguments='{"a":1}'),
        ToolCall(id="3", name="other", arguments=""),
    )
    reply = Reply("resp_9", "m", tools=TOOLS)
    encoded = RESPONSES.encode_response(answer, reply)
    assert encoded.losses == ()
    custom, spaced, plain = msgspec.json.decode(encoded.body)["output"]
    assert (custom["type"], custom["name"], custom["input"]) == ("custom_tool_call", "exec", "ls *.py\n")
    assert (spaced["name"], spaced["namespace"], spaced["arguments"]) == ("spawn", "multi_agent_v1", '{"a":1}')
    assert (plain["type"], plain["arguments"]) == ("function_call", "{}")
    told = frames(write_stream(RESPONSES, unfold(answer), reply))
    deltas = [frame["delta"] for frame in told if frame["type"] == "response.custom_tool_call_input.delta"]
    assert deltas == ["ls *.py\n"]
    assert told[-1]["response"]["output"] == [custom, spaced, plain]


def test_a_freeform_tool_called_with_something_else_gets_that() -> None:
    answer = answer_of(ToolCall(id="1", name="exec", arguments="not json"))
    encoded = RESPONSES.encode_response(answer, Reply("r", "m", tools=TOOLS))
    assert msgspec.json.decode(encoded.body)["output"][0]["input"] == "not json"
    assert [loss.field for loss in encoded.losses] == ["content.arguments"]


def test_thoughts_of_others_are_summaries_and_their_signatures_stay_behind() -> None:
    thought = Reasoning(text="hm", origin=WireFormat.ANTHROPIC_MESSAGES, signature="sig")
    encoded = RESPONSES.encode_response(answer_of(thought, origin=WireFormat.ANTHROPIC_MESSAGES), REPLY)
    item = msgspec.json.decode(encoded.body)["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert "encrypted_content" not in item
    assert ("content.signature", "dropped") in [(loss.field, loss.kind) for loss in encoded.losses]


# ---- requests -------------------------------------------------------------------------------------------------------

EXEC = {
    "type": "custom",
    "name": "exec",
    "description": "Runs JavaScript.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"},
}
SPAWN = {"type": "function", "name": "spawn", "description": "New agent.", "parameters": {"type": "object"}}
AGENTS = {"type": "namespace", "name": "multi_agent_v1", "description": "Agents.", "tools": [SPAWN]}
CODEX = {
    "model": "gpt-6.1-sol",
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "client_metadata": {"x": "y"},
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto", "context": "all_turns"},
    "text": {"verbosity": "low"},
    "input": [
        {"type": "additional_tools", "role": "developer", "tools": [EXEC, AGENTS, {"type": "web_search"}]},
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "You are Codex."}, {"type": "input_text", "text": "Rules."}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Write a file."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "status": "completed",
            "call_id": "c1",
            "name": "exec",
            "input": "ls",
        },
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "a.py"},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c2",
            "name": "spawn",
            "namespace": "multi_agent_v1",
            "arguments": "{}",
        },
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "ok"}]},
    ],
}


def test_a_request_of_codex_goes_home_as_it_came() -> None:
    encoded = RESPONSES.encode_request(RESPONSES.decode_request(body(CODEX)))
    assert encoded.losses == ()
    written = msgspec.json.decode(encoded.body)
    del written["input"][4]["name"]
    expected = json.loads(json.dumps(CODEX))
    del expected["input"][4]["name"]
    del expected["input"][4]["status"]  # what is sent back is complete
    expected["input"][2]["content"] = "Write a file."
    expected["input"][7]["output"] = "ok"
    assert written == expected


@pytest.mark.parametrize("target", [CHAT, MESSAGES, GEMINI])
def test_a_request_of_codex_goes_elsewhere_with_plain_functions(target: Codec) -> None:
    conversation = RESPONSES.decode_request(body(CODEX))
    encoded = target.encode_request(msgspec.structs.replace(conversation, model="m", max_output=99))
    again = target.decode_request(encoded.body)
    assert [tool.name for tool in again.tools if not isinstance(tool, Opaque)] == ["exec", "multi_agent_v1__spawn"]
    calls = [part for message in again.messages for part in message.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("exec", {"input": "ls"}),
        ("multi_agent_v1__spawn", {}),
    ]
    assert b"gAAA" not in encoded.body
    fields = {loss.field for loss in encoded.losses}
    assert {"tools.custom", "tools.namespace", "client_metadata", "prompt_cache_key"} <= fields
    assert not {"store", "include"} & fields


def test_codex_to_chat_word_for_word() -> None:
    conversation = msgspec.structs.replace(RESPONSES.decode_request(body(CODEX)), model="m")
    written = msgspec.json.decode(CHAT.encode_request(conversation).body)
    exec_schema = {
        "type": "object",
        "properties": {"input": {"type": "string", "description": "Text of this lark grammar:\nstart: /.+/s"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    assert written == {
        "model": "m",
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": "You are Codex."}, {"type": "text", "text": "Rules."}],
            },
            {"role": "user", "content": "Write a file."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "exec", "arguments": '{"input":"ls"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c2", "type": "function", "function": {"name": "multi_agent_v1__spawn", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c2", "content": "ok"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {"name": "exec", "description": "Runs JavaScript.", "parameters": exec_schema},
            },
            {
                "type": "function",
                "function": {
                    "name": "multi_agent_v1__spawn",
                    "description": "Agents.\n\nNew agent.",
                    "parameters": {"type": "object"},
                },
            },
        ],
        "parallel_tool_calls": False,
        "reasoning_effort": "medium",
        "verbosity": "low",
    }


def test_the_clients_names_are_known_for_the_answer() -> None:
    assert client_tools(RESPONSES.decode_request(body(CODEX))) == {
        "exec": ClientTool("exec", "", True),
        "multi_agent_v1__spawn": ClientTool("spawn", "multi_agent_v1", False),
    }


def test_no_two_tools_get_one_name() -> None:
    def function(name: str) -> dict[str, Any]:
        return {"type": "function", "name": name}

    spaces = [
        {"type": "namespace", "name": "a", "description": "", "tools": [function("b__c"), function("d")]},
        {"type": "namespace", "name": "a__b", "description": "", "tools": [function("c")]},
        {"type": "namespace", "name": "n" * 60, "description": "", "tools": [function("x" * 9), function("x" * 8)]},
        {"type": "namespace", "name": "mcp__files__", "description": "", "tools": [function("re.ad")]},
    ]
    conversation = RESPONSES.decode_request(body({"input": "x", "tools": [*spaces, function("a__d")]}))
    names = list(client_tools(conversation))
    assert len(names) == 6
    assert "mcp__files__re_ad" in names
    assert "a__d" not in names  # the plain function's own
    assert all(len(name) <= 64 for name in names)


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [USER, {"id": "msg_1"}]}, "input"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input"),
    ],
)
def test_what_only_its_own_provider_keeps_is_refused_elsewhere(request_body: dict[str, Any], field: str) -> None:
    conversation = RESPONSES.decode_request(body({"model": "m"} | request_body))
    home = msgspec.json.decode(RESPONSES.encode_request(conversation).body)
    assert {key: home.get(key) for key in request_body if key != "input"} == {
        key: value for key, value in request_body.items() if key != "input"
    }
    for target in (CHAT, MESSAGES, GEMINI):
        with pytest.raises(WireError) as caught:
            target.encode_request(conversation)
        assert caught.value.field == field


def test_items_that_run_at_openai_are_declared_and_leave_no_empty_message() -> None:
    shell = {"type": "local_shell_call", "id": "s", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}}
    output = {"type": "local_shell_call_output", "id": "c", "output": "x"}
    conversation = RESPONSES.decode_request(body({"model": "m", "input": [USER, shell, output]}))
    encoded = CHAT.encode_request(conversation)
    assert msgspec.json.decode(encoded.body)["messages"] == [USER]
    assert {loss.field for loss in encoded.losses} == {"input.local_shell_call", "input.local_shell_call_output"}


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"type": "message"}]}, "input[0].role"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [USER, {"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[1].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "reasoning", "summary": "x"}]}, "input[0].summary"),
        ({"input": "x", "instructions": ["x"]}, "instructions"),
        ({"input": "x", "temperature": "hot"}, "temperature"),
        ({"input": "x", "text": {"verbosity": 1}}, "text.verbosity"),
        ({"input": "x", "reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"input": "x", "tools": [{"type": "function", "name": "f", "parameters": 1}]}, "tools[0].parameters"),
    ],
)
def test_a_bad_request_names_its_field(request_body: dict[str, Any], field: str) -> None:
    with pytest.raises(WireError) as caught:
        RESPONSES.decode_request(body(request_body))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("responses", "chat"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ],
)
def test_every_tool_choice(responses: Any, chat: Any) -> None:
    here = {"model": "m", "input": "x", "tools": [{"type": "function", "name": "f"}], "tool_choice": responses}
    there = {
        "model": "m",
        "messages": [USER],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": chat,
    }
    encoded = CHAT.encode_request(RESPONSES.decode_request(body(here)))
    assert msgspec.json.decode(encoded.body)["tool_choice"] == chat
    encoded = RESPONSES.encode_request(CHAT.decode_request(body(there)))
    assert msgspec.json.decode(encoded.body)["tool_choice"] == responses


def test_a_chat_turn_goes_to_responses_word_for_word() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    request = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
                ],
            },
            {"role": "assistant", "content": "Looking.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "max_completion_tokens": 50,
        "temperature": 0.5,
        "reasoning_effort": "low",
        "verbosity": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "n": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    encoded = RESPONSES.encode_request(CHAT.decode_request(body(request)))
    assert encoded.losses == ()
    assert msgspec.json.decode(encoded.body) == {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
                ],
            },
            {"type": "message", "role": "assistant", "content": "Looking."},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        ],
        "max_output_tokens": 50,
        "stream": True,
        "temperature": 0.5,
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}],
        "tool_choice": "auto",
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}}, "verbosity": "high"},
        "reasoning": {"effort": "low"},
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }


def test_a_turn_of_claude_code_goes_to_responses() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    request = {
        "model": "m",
        "max_tokens": 32000,
        "system": [
            {"type": "text", "text": "A"},
            {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "text", "text": "Reading."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a"}},
                ],
            },
            {"role": "system", "content": "a reminder"},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "text", "text": "see"}, image],
                        "is_error": True,
                    }
                ],
            },
        ],
        "tools": [{"name": "Read", "input_schema": {"type": "object"}}],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "high"},
        "stop_sequences": ["X"],
        "top_k": 5,
        "stream": True,
    }
    encoded = RESPONSES.encode_request(MESSAGES.decode_request(body(request)))
    assert msgspec.json.decode(encoded.body) == {
        "model": "m",
        "input": [
            {
                "type": "message",
                "role": "system",
                "content": [{"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}],
            },
            {"type": "message", "role": "user", "content": "go"},
            {"type": "message", "role": "assistant", "content": "Reading."},
            {"type": "function_call", "call_id": "toolu_1", "name": "Read", "arguments": '{"path":"a"}'},
            {"type": "message", "role": "system", "content": "a reminder"},
            {
                "type": "function_call_output",
                "call_id": "toolu_1",
                "output": [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
                ],
            },
        ],
        "max_output_tokens": 32000,
        "stream": True,
        "tools": [{"type": "function", "name": "Read", "parameters": {"type": "object"}, "strict": False}],
        "reasoning": {"effort": "high"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert {loss.field: loss.kind for loss in encoded.losses} == {
        "messages.content.cache_control": "dropped",
        "messages.reasoning_content": "dropped",
        "messages.content.is_error": "dropped",
        "top_k": "dropped",
        "stop": "dropped",
        "thinking.display": "dropped",
        "thinking.type": "approximated",
    }


def test_encrypted_thoughts_come_home_from_a_conversation_that_went_elsewhere() -> None:
    thought = Reasoning(text="s", origin=WireFormat.OPENAI_RESPONSES, signature="gAAA", item="rs_1")
    other = Reasoning(text="t", origin=WireFormat.ANTHROPIC_MESSAGES, signature="sig")
    turn = Message(role=Role.ASSISTANT, parts=(other, thought, ToolCall(id="c", name="f", arguments="{}")))
    conversation = Conversation(
        origin=WireFormat.OPENAI_CHAT, model="m", messages=(Message(role=Role.USER, parts=(Text("x"),)), turn)
    )
    encoded = RESPONSES.encode_request(conversation)
    assert msgspec.json.decode(encoded.body)["input"][1] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "s"}],
        "encrypted_content": "gAAA",
    }
    assert b"sig" not in encoded.body


def test_a_call_id_longer_than_openai_takes_is_changed_alike_in_call_and_result() -> None:
    long = "call_" + "x" * 90
    call = {"id": long, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = {
        "model": "m",
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": long, "content": "x"},
        ],
    }
    encoded = RESPONSES.encode_request(CHAT.decode_request(body(request)))
    _, first, second = msgspec.json.decode(encoded.body)["input"]
    assert first["call_id"] == second["call_id"]
    assert len(first["call_id"]) <= 64
    assert [loss.field for loss in encoded.losses] == ["messages.tool_calls.id"]


def test_breakpoints_of_openais_cache_are_cache_markers() -> None:
    part = {"type": "input_text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit"}}
    timed = {"type": "input_text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    request = {"model": "m", "input": [{"role": "user", "content": [part, timed]}]}
    encoded = MESSAGES.encode_request(RESPONSES.decode_request(body(request)))
    first, second = msgspec.json.decode(encoded.body)["messages"][0]["content"]
    assert first["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in second
    assert [loss.field for loss in encoded.losses] == ["messages.content.prompt_cache_breakpoint"]
