"""What is spliced out of a relayed history: citations that the gateway itself wrote, and nothing beside them."""

import json
from typing import Any

import pytest
from omni_router.domain.unfound import unfound
from omni_wire.body import Body
from omni_wire.formats import WireFormat

MESSAGES = WireFormat.ANTHROPIC_MESSAGES
FOUND = {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "c", "encrypted_index": "Eo8"}
UNFOUND = FOUND | {"encrypted_index": ""}
DOCUMENT = {"type": "char_location", "cited_text": "c", "document_index": 0}
ASK = {"role": "user", "content": 'Is "encrypted_index":"" a key?'}


def said(*citations: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "text", "text": "So."} | ({"citations": list(citations)} if citations else {})
    return {"role": "assistant", "content": [text, {"type": "text", "text": "And."}]}


def mended(fields: dict[str, Any], wire_format: WireFormat = MESSAGES) -> dict[str, Any]:
    body = Body(json.dumps(fields).encode())
    changed: dict[str, Any] = json.loads(body.with_fields(unfound(wire_format, body, {})))
    return changed


def test_a_citation_without_its_proof_is_left_out_and_nothing_else() -> None:
    asked = {"messages": [ASK, said(FOUND, UNFOUND, DOCUMENT), ASK], "x": 1.10}
    assert mended(asked) == asked | {"messages": [ASK, said(FOUND, DOCUMENT), ASK]}
    assert mended({"messages": [said(UNFOUND)]}) == {"messages": [said()]}


@pytest.mark.parametrize("citations", [[FOUND], [FOUND, DOCUMENT], []])
def test_what_anthropic_cited_itself_and_its_bytes_stay(citations: list[dict[str, Any]]) -> None:
    raw = json.dumps({"messages": [ASK, said(*citations)]}).encode()
    body = Body(raw)
    assert body.with_fields(unfound(MESSAGES, body, {})) is raw


def test_other_edits_of_the_turns_are_kept() -> None:
    body = Body(json.dumps({"messages": [ASK, said(UNFOUND), ASK]}).encode())
    edits = unfound(MESSAGES, body, {"messages": json.dumps([said(UNFOUND)]).encode(), "thinking": None})
    assert json.loads(bytes(edits["messages"])) == [said()]
    assert edits["thinking"] is None


@pytest.mark.parametrize("messages", [[1, {"encrypted_index": 1}], [{"content": ["encrypted_index"]}], {"x": 1}, None])
def test_what_cannot_be_read_stays_what_it_is(messages: Any) -> None:
    asked = {"messages": messages, "x": '"encrypted_index"'}
    assert mended(asked) == asked


def test_other_formats_are_not_looked_into() -> None:
    asked = {"messages": [said(UNFOUND)]}
    assert mended(asked, WireFormat.OPENAI_CHAT) == asked
