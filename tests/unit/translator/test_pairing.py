"""Every call has its result, and every result its call, before a provider sees them."""

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Image, Message, Part, Role, Text, ToolCall, ToolResult
from omni_translator.domain.pairing import NO_RESULT, paired


def user(*parts: Part) -> Message:
    return Message(role=Role.USER, parts=parts)


def model(*parts: Part) -> Message:
    return Message(role=Role.ASSISTANT, parts=parts)


def call(name: str) -> ToolCall:
    return ToolCall(id=name, name="f")


def result(name: str, *parts: Part) -> ToolResult:
    return ToolResult(id=name, parts=parts or (Text(f"of {name}"),))


def settled(*messages: Message) -> tuple[tuple[Message, ...], set[str]]:
    losses = Losses("X")
    return paired(messages, losses), {loss.field for loss in losses.all()}


ASK = user(Text("look"))
EMPTY = {name: ToolResult(id=name, parts=(Text(NO_RESULT),)) for name in ("a", "b")}


def test_pairs_stay_as_they_are_and_cost_no_loss() -> None:
    for messages in (
        (ASK,),
        (ASK, model(call("a"), call("b")), user(result("b"), result("a"), Text("go on"))),
        (ASK, model(call("a")), user(result("a")), model(call("b"))),
        (ASK, model(call("a")), model(call("b")), user(result("a")), user(result("b"))),
        (ASK, model(call("a")), Message(role=Role.SYSTEM, parts=(Text("x"),)), user(result("a"))),
    ):
        assert settled(*messages) == (messages, set())


def test_a_result_without_its_call_becomes_text_and_keeps_its_media() -> None:
    picture = Image(url="https://example.com/x.png")
    messages, lost = settled(user(result("a", Text("red"), picture)), model(Text("I see")))
    assert messages[0] == user(Text("Result of tool call a:\nred"), picture)
    assert lost == {"messages.tool_call_id"}


def test_a_second_result_of_one_call_becomes_text() -> None:
    messages, lost = settled(ASK, model(call("a")), user(result("a"), result("a")))
    assert messages[2] == user(result("a"), Text("Result of tool call a:\nof a"))
    assert lost == {"messages.tool_call_id"}


def test_a_call_that_was_passed_over_is_given_a_result_before_what_was_said_next() -> None:
    messages, lost = settled(ASK, model(call("a"), call("b")), user(Text("never mind"), result("b")))
    assert messages[2] == user(result("b"), EMPTY["a"], Text("never mind"))
    assert lost == {"messages.tool_calls"}


def test_a_call_before_another_turn_of_the_model_is_given_one_too() -> None:
    system = Message(role=Role.SYSTEM, parts=(Text("x"),))
    messages, _ = settled(ASK, model(call("a")), system, model(call("b")), user(result("b")))
    assert messages == (ASK, model(call("a")), user(EMPTY["a"]), system, model(call("b")), user(result("b")))
