"""docs/wire-formats.md says what the codecs do, and they do nothing in silence."""

import pytest
from omni_wire.formats import WireFormat

from tools.make_wire_formats import PAGE
from tools.wire_formats import answers, requests
from tools.wire_formats.judge import (
    KEPT,
    OLDER,
    SILENT,
    judge_answer,
    judge_request,
    unheard_answer,
    unheard_request,
)
from tools.wire_formats.page import render
from tools.wire_formats.probe import FORMATS, PROVIDERS, Row

REQUESTS = [pytest.param(row, source, id=f"{row.name}-{source}") for row in requests.ROWS for source in row.says]
ANSWERS = [pytest.param(row, source, id=f"{row.name}-{source}") for row in answers.ROWS for source in row.says]


def test_the_page_is_what_the_codecs_say_today() -> None:
    assert PAGE.read_text() == render(), "run make wire-formats"


@pytest.mark.parametrize(("row", "source"), REQUESTS)
def test_whatever_a_request_says_is_kept_or_declared(row: Row, source: WireFormat) -> None:
    assert not unheard_request(row, source)
    assert judge_request(row, source, source).word == KEPT
    for target in (*FORMATS, *PROVIDERS):
        assert judge_request(row, source, target).word != SILENT, target
    for target, model in OLDER:
        assert judge_request(row, source, target, model).word != SILENT, model


@pytest.mark.parametrize(("row", "source"), ANSWERS)
def test_whatever_an_answer_says_is_kept_or_declared(row: Row, source: WireFormat) -> None:
    assert not unheard_answer(row, source)
    whole, streamed = judge_answer(row, source, source)
    assert whole.word == KEPT
    # A stream of several answers is one canonical answer; at home its bytes are relayed.
    assert streamed.word == KEPT or row.name == "several answers"
    for target in FORMATS:
        if target is not source:
            assert SILENT not in [verdict.word for verdict in judge_answer(row, source, target)], target
