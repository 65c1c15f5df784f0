"""The short form of the fault wall, ``make chaos``: of every fault a cell for each dialect, drawn by a seed."""

import random
from pathlib import Path

import pytest

from tests.chaos.cells import cells, sample
from tests.chaos.dialects import CHAT, DIALECTS, GEMINI, MESSAGES, OLLAMA, RESPONSES, Wrong, read
from tests.chaos.faults import FAULTS
from tests.chaos.wall import run

SEED = 20


def test_whatever_a_provider_does_comes_out_as_the_table_says(tmp_path: Path) -> None:
    chosen = sample(SEED, each=3)
    assert {cell.fault.name for cell in chosen} == {fault.name for fault in FAULTS}
    assert {cell.dialect for cell in chosen} == set(DIALECTS)
    found = run(tmp_path, chosen)
    wrong = [f"{cell}: {'; '.join(found.wrong[cell.id])}" for cell in chosen if found.wrong[cell.id]]
    assert not wrong, "\n".join(wrong)
    assert not found.money


def test_the_whole_wall_is_every_fault_in_every_way_and_the_seed_draws_its_order() -> None:
    whole = cells(SEED)
    assert len({(cell.fault.name, cell.dialect, cell.stream, cell.mode, bool(cell.next)) for cell in whole}) == len(
        whole
    )
    assert len(whole) >= 4 * len(FAULTS) * len(DIALECTS) * 2
    assert [cell.id for cell in whole] == [cell.id for cell in cells(SEED)]
    assert [cell.id for cell in whole] != [cell.id for cell in cells(SEED + 1)]


_CUT: dict[str, bytes] = {
    CHAT: b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: {"error":{"message":"m",'
    b'"type":"t","code":null,"param":null}}\n\n',
    RESPONSES: b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":2,'
    b'"delta":"a"}\n\nevent: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"sequence_number":2,"delta":"b"}\n\n',
    MESSAGES: b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"m"}}\n\n'
    b'event: ping\ndata: {"type":"ping"}\n\n',
    GEMINI: b'data: {"error":{"code":502,"message":"m","status":"INTERNAL"}}\n\ndata: {"candidates":[]}\n\n',
    OLLAMA: b'{"error":"m"}\n{"message":{"content":"a"},"done":false}\n',
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_reading_takes_no_stream_that_breaks_its_dialects_rules(dialect: str) -> None:
    with pytest.raises(Wrong):
        read(dialect, _CUT[dialect], stream=True)
    with pytest.raises(Wrong):
        read(dialect, b'data: {"half', stream=True)
    with pytest.raises(Wrong):
        read(dialect, random.Random(SEED).randbytes(40), stream=False)
