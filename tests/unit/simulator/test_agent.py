"""The scripted agent: one turn calls the tool that writes a file, the next reads the result and ends."""

import json
from typing import Any

import httpx
import pytest
from omni_simulator.agent import choose
from omni_simulator.script import Script
from omni_simulator.values import Ask, Tool

from tests.unit.simulator.asking import FORMATS, READ, WRITE, Told, ask, body, path

TOOLS = {"read_file": READ, "write_file": WRITE}


def _next_turn(form: str, first: dict[str, Any], answer: dict[str, Any], result: str) -> dict[str, Any]:
    """What a client sends when it has run the calls of ``answer``: the answer itself, then the results."""
    if form == "chat":
        message = answer["choices"][0]["message"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": result} for call in message["tool_calls"]]
        return {**first, "messages": [*first["messages"], message, *results]}
    if form == "messages":
        uses = [block["id"] for block in answer["content"] if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": use, "content": result} for use in uses]
        turns = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": results}]
        return {**first, "messages": [*first["messages"], *turns]}
    if form == "responses":
        asked = [{"type": "message", "role": "user", "content": first["input"]}]
        calls = [item["call_id"] for item in answer["output"] if item["type"] == "function_call"]
        outputs = [{"type": "function_call_output", "call_id": call, "output": result} for call in calls]
        return {**first, "input": [*asked, *answer["output"], *outputs]}
    if form == "ollama":
        message = answer["message"]
        results = [{"role": "tool", "tool_name": "write_file", "content": result} for _ in message["tool_calls"]]
        return {**first, "messages": [*first["messages"], message, *results]}
    if form == "cohere":
        message = answer["message"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": result} for call in message["tool_calls"]]
        return {**first, "messages": [*first["messages"], message, *results]}
    content = answer["candidates"][0]["content"]
    response = {"functionResponse": {"name": "write_file", "response": {"output": result}}}
    return {**first, "contents": [*first["contents"], content, {"role": "user", "parts": [response]}]}


@pytest.mark.parametrize("form", FORMATS)
async def test_the_agent_writes_the_file_reads_the_result_and_ends(http: httpx.AsyncClient, form: str):
    model = "sim+agent+think:2+content:hello%0A"
    first = body(form, model, "Please create notes/plan.txt for me", tools=TOOLS)
    response = await http.post(path(form, model, False), json=first)
    assert Told.of(form, response).calls == [("write_file", {"file_path": "notes/plan.txt", "content": "hello\n"})]
    second = _next_turn(form, first, response.json(), "wrote 6 bytes")
    told = Told.of(form, await http.post(path(form, model, False), json=second))
    assert (told.calls, told.text) == ([], 'Done. The tool said: "wrote 6 bytes"')


@pytest.mark.parametrize("form", FORMATS)
async def test_the_agent_says_so_when_nothing_can_write(http: httpx.AsyncClient, form: str):
    told = Told.of(form, await ask(http, form, "sim+agent", tools={"read_file": READ}, stream=True))
    assert (told.calls, told.text) == ([], "No tool offered can write a file: read_file.")


async def test_a_failed_tool_is_told_as_failed(http: httpx.AsyncClient):
    first = body("messages", "sim+agent", tools=TOOLS)
    answer = (await http.post("/v1/messages", json=first)).json()
    second = _next_turn("messages", first, answer, "disk full")
    second["messages"][-1]["content"][0]["is_error"] = True
    told = Told.of("messages", await http.post("/v1/messages", json=second))
    assert told.text == 'The tool failed, it said: "disk full"'


def _chosen(tools: list[Tool], *texts: str) -> tuple[str, Any]:
    last = texts[-1] if texts else ""
    asked = Ask(model="m", seed="s", stream=False, texts=texts, last_user=last, media=0, tools=tuple(tools))
    found = choose(asked, Script(agent=True))
    assert found is not None
    return found[0].name, found[1] if found[0].custom else json.loads(found[1])


def _tool(name: str, **properties: Any) -> Tool:
    return Tool(name, {"type": "object", "properties": properties, "required": list(properties)})


TEXT = {"type": "string"}


def test_a_writer_goes_before_an_editor_and_a_shell():
    edit = _tool("edit_file", path=TEXT, old_string=TEXT, new_content=TEXT)
    tools = [_tool("bash", command=TEXT), edit, _tool("Write", filePath=TEXT, content=TEXT)]
    name, arguments = _chosen(tools, "make a.py")
    assert (name, arguments["filePath"]) == ("Write", "a.py")


def test_the_working_directory_of_the_prompt_anchors_the_path():
    system = "Environment:\nWorking directory: /home/me/project\nIs a repository: no"
    _, arguments = _chosen([_tool("Write", file_path=TEXT, content=TEXT)], system, "write it to out.md")
    assert arguments["file_path"] == "/home/me/project/out.md"


def test_an_action_selector_says_the_one_that_writes():
    tool = _tool("str_replace_based_edit", command={"enum": ["view", "create"]}, path=TEXT, file_text=TEXT)
    _, arguments = _chosen([tool])
    assert (arguments["command"], arguments["path"]) == ("create", "simulated.txt")


@pytest.mark.parametrize(
    ("tool", "key", "wrap"),
    [
        (_tool("Bash", command=TEXT), "command", lambda line: line),
        (_tool("exec_command", cmd=TEXT), "cmd", lambda line: line),
        (_tool("shell", command={"type": "array", "items": TEXT}), "command", lambda line: ["bash", "-lc", line]),
        (_tool("run_commands", commands={"type": "array", "items": TEXT}), "commands", lambda line: [line]),
    ],
)
def test_a_shell_will_do(tool: Tool, key: str, wrap: Any):
    line = "printf %s 'Written by the simulated agent.\n' > a.txt"
    assert _chosen([tool], "make a.txt") == (tool.name, {key: wrap(line)})


def test_a_freeform_tool_made_a_function_gets_its_text_in_an_argument():
    name, arguments = _chosen([_tool("exec", input=TEXT)], "make a.txt")
    assert name == "exec"
    assert arguments["input"].startswith("const result = await tools.exec_command(")


def test_a_freeform_patch_tool_gets_a_patch():
    name, words = _chosen([Tool("apply_patch", {}, custom=True)], "make a.txt")
    assert name == "apply_patch"
    assert words == "*** Begin Patch\n*** Add File: a.txt\n+Written by the simulated agent.\n*** End Patch\n"
