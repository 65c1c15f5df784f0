"""The model that runs here: loaded once, not before it is wanted, and never waited for too long."""

import asyncio
import importlib.util
import sys
import time
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from omni_core.ports.context import CallContext
from omni_router.adapters.local_embeddings import PACKAGE, LocalEmbeddings
from omni_wire.errors import InvalidRequest, NotBuilt, UpstreamFailed, UpstreamTimeout

CONTEXT = CallContext("request")
NAME = "a_model_in_a_package"


class Numbers(list[Any]):
    """As far as an array is asked here."""

    def tolist(self) -> list[float]:
        return [float(each) for each in self]


class Model:
    max_seq_length = 4

    def __init__(self) -> None:
        self.seconds = 0.0

    def tokenizer(self, text: str, *, truncation: bool, max_length: int) -> dict[str, list[str]]:
        return {"input_ids": text.split()[:max_length] if truncation else text.split()}

    def encode(self, texts: list[str], *, show_progress_bar: bool) -> list[Numbers]:
        time.sleep(self.seconds)
        if texts[0] == "fail":
            raise RuntimeError("secret words")
        return [Numbers([len(texts[0]), 1])]


@pytest.fixture
async def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    made, package = Model(), ModuleType(NAME)
    package.__spec__ = importlib.util.spec_from_loader(NAME, loader=None)
    package.loads = 0  # type: ignore[attr-defined]

    def load(device: str) -> Model:
        assert device == "cpu"
        package.loads += 1  # type: ignore[attr-defined]
        return made

    package.load_model = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, NAME, package)
    return made


@pytest.fixture
async def local() -> AsyncIterator[LocalEmbeddings]:
    made = LocalEmbeddings(NAME)
    yield made
    await made.close()


async def test_a_text_has_its_vector_and_the_model_is_loaded_once(model: Model, local: LocalEmbeddings) -> None:
    local.prepare()
    local.prepare()
    found = await asyncio.gather(*(local.embed(CONTEXT, "x" * size, 20) for size in (1, 2, 3)))
    assert [each.vector for each in found] == [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]
    assert sys.modules[NAME].loads == 1


async def test_what_the_model_would_cut_is_refused_and_what_breaks_in_it_repeats_no_words(
    model: Model, local: LocalEmbeddings
) -> None:
    local.prepare()
    with pytest.raises(InvalidRequest, match="longer than the 4 tokens"):
        await local.embed(CONTEXT, "one two three four five", 20)
    with pytest.raises(UpstreamFailed) as failed:
        await local.embed(CONTEXT, "fail", 20)
    assert "secret words" not in failed.value.message
    assert (await local.embed(CONTEXT, "x", 20)).vector == (1.0, 1.0)


async def test_a_slow_model_is_not_waited_for(model: Model, local: LocalEmbeddings) -> None:
    model.seconds = 0.5
    local.prepare()
    with pytest.raises(UpstreamTimeout):
        await local.embed(CONTEXT, "x", 0.05)
    assert (await local.embed(CONTEXT, "xy", 20)).vector == (2.0, 1.0)


async def test_where_it_is_not_installed_that_is_told_and_how_to(caplog: pytest.LogCaptureFixture) -> None:
    local = LocalEmbeddings("no_such_package_here")
    local.prepare()
    assert "pip install 'omniroute[semantic]'" in caplog.text
    with pytest.raises(NotBuilt, match="omniroute"):
        await local.embed(CONTEXT, "x", 20)
    await local.close()


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")
@pytest.mark.filterwarnings("ignore")
async def test_the_real_model_has_near_words_near_and_others_far() -> None:
    local = LocalEmbeddings()
    local.prepare()
    texts = ("How do I reset my password?", "How can I reset my password?", "What is the capital of France?")
    one, other, far = [(await local.embed(CONTEXT, text, 120)).vector for text in texts]
    assert sum(a * b for a, b in zip(one, other, strict=True)) > 0.95
    assert sum(a * b for a, b in zip(one, far, strict=True)) < 0.5
    with pytest.raises(InvalidRequest):
        await local.embed(CONTEXT, "many words " * 200, 120)
    await local.close()
