"""Puts the translator together."""

from omni_core.component import Check
from omni_core.ports.translator import TranslatorPort
from omni_core.runtime import Runtime

from omni_translator.adapters.metrics import TranslatorMetrics
from omni_translator.adapters.tracing import TracedTranslator
from omni_translator.adapters.vault import RedisVault
from omni_translator.domain.codecs import CODECS
from omni_translator.service import TranslatorService
from omni_translator.settings import TranslatorSettings


class TranslatorComponent:
    """The translator as the composition root runs it. It is ready once started: without Redis it lacks the reasoning
    vault and nothing else."""

    name = "translator"

    def __init__(self, service: TranslatorPort) -> None:
        self.service = service
        self._ready = False

    async def start(self) -> None:
        if self._ready:
            raise RuntimeError("the translator was started twice")
        self._ready = True

    async def drain(self) -> None:
        """Answers in flight end with their callers; there is nothing here to wait for."""
        self._ready = False

    async def stop(self) -> None:
        self._ready = False

    def checks(self) -> dict[str, Check]:
        return {"codecs": Check(ok=self._ready, detail=", ".join(sorted(CODECS)))}


def build(runtime: Runtime, settings: TranslatorSettings | None = None) -> TranslatorComponent:
    settings = settings or TranslatorSettings()
    metrics = TranslatorMetrics(runtime.metrics, settings)
    service: TranslatorPort = TranslatorService(metrics, settings, RedisVault(runtime.redis, settings, metrics))
    if (tracer := runtime.tracer(TranslatorComponent.name)) is not None:
        service = TracedTranslator(service, tracer)
    return TranslatorComponent(service)
