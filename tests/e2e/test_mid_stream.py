"""A stream that broke and was gone on with, by the official SDKs, over one process and over one process a service."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import openai
import pytest

from tests.e2e.conftest import Gateway
from tests.support.fleet import HELLO, eventually

FIRST, REST = "The quick brown fox jumps ", "over the lazy dog."
COMBOS = """
combos:
  - {{name: resumed, targets: ["acme/{first}", "claude/{rest}"], mid_stream: {{resume: on}}}}
  - {{name: held, targets: ["claude/{first}", "acme/{rest}"], mid_stream: {{hold_tokens: 30}}}}
  - {{name: honest, targets: ["acme/{first}", "claude/{rest}"]}}
"""


def say(text: str, *steps: str) -> str:
    return "+".join((f"sim+say:{quote(text, safe='')}", *steps))


@pytest.fixture
def breaking(gateway: Gateway) -> Iterator[Gateway]:
    """With combos whose first target breaks off in its file."""
    file = Path(gateway.stack.data_dir.parent / "omniroute.yaml")
    original = file.read_text()
    combos = COMBOS.format(first=say(FIRST, "cut:6"), rest=say(REST))
    known = lambda: {model.id for model in gateway.client().models.list()}  # noqa: E731
    try:
        file.write_text(original.replace("\ncombos:\n", combos, 1))
        eventually(lambda: {"resumed", "held", "honest"} <= known(), 10, known)
        yield gateway
    finally:
        file.write_text(original)
        eventually(lambda: "resumed" not in known(), 10, known)


def test_a_chat_sdk_reads_one_answer_of_two_providers(breaking: Gateway) -> None:
    stream = breaking.client().chat.completions.create(
        model="resumed", stream=True, messages=HELLO, stream_options={"include_usage": True}  # type: ignore[arg-type]
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.endswith(REST)
    assert FIRST.startswith(text.removesuffix(REST))
    assert len(text) > len(REST)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason] == [
        "stop"
    ]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 4


def test_a_messages_sdk_reads_one_answer_of_two_providers(breaking: Gateway) -> None:
    with breaking.anthropic().messages.stream(model="resumed", max_tokens=200, messages=HELLO) as stream:  # type: ignore[arg-type]
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["text"]
    text = message.content[0].text  # type: ignore[union-attr]
    assert text.endswith(REST)
    assert len(text) > len(REST)
    assert message.stop_reason == "end_turn"


def test_a_responses_sdk_reads_one_answer_of_two_providers(breaking: Gateway) -> None:
    events = list(breaking.client().responses.create(model="resumed", input="hi", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    done = events[-1]
    assert done.type == "response.completed"
    assert done.response.output_text.endswith(REST)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == (
        done.response.output_text
    )


def test_a_start_that_was_held_back_is_begun_anew(breaking: Gateway) -> None:
    stream = breaking.client().chat.completions.create(model="held", stream=True, messages=HELLO)  # type: ignore[arg-type]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == REST


def test_without_a_word_for_it_the_break_is_told(breaking: Gateway) -> None:
    stream = breaking.client().chat.completions.create(model="honest", stream=True, messages=HELLO)  # type: ignore[arg-type]
    with pytest.raises(openai.APIError):
        list(stream)
