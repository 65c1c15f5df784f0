"""The translator's counters, for Prometheus."""

from collections.abc import Iterable

from omni_core.ports.translator import EncodeCall, StreamCall
from prometheus_client import CollectorRegistry, Counter

from omni_translator.domain.guards.request import Finding
from omni_translator.domain.losses import Loss
from omni_translator.settings import TranslatorSettings

MAX_FIELD = 100  # characters: a client's own key may be of any length


class TranslatorMetrics:
    """Satisfies ``omni_translator.ports.Metrics``. Children are bound once, so a count costs a dictionary look-up."""

    def __init__(self, registry: CollectorRegistry, settings: TranslatorSettings) -> None:
        pair = ("client_format", "provider_format")
        self._requests = Counter(
            "omniroute_translator_requests", "Requests converted", (*pair, "outcome"), registry=registry
        )
        self._answers = Counter(
            "omniroute_translator_answers", "Answers converted", (*pair, "outcome"), registry=registry
        )
        self._losses = Counter(
            "omniroute_translator_losses", "What conversions could not keep", (*pair, "field"), registry=registry
        )
        self._bytes = Counter(
            "omniroute_translator_bytes", "Bytes read and written", (*pair, "flow"), registry=registry
        )
        self._vault = Counter(
            "omniroute_translator_vault", "Entries of the reasoning vault", ("outcome",), registry=registry
        )
        self._rules = Counter(
            "omniroute_translator_rules", "Requests and answers that a rule has changed", ("rule",), registry=registry
        )
        self._guards = Counter(
            "omniroute_translator_guard_findings",
            "What guards over content have found",
            ("guard", "rule", "action"),
            registry=registry,
        )
        self._children: dict[tuple[str, ...], Counter] = {}
        self._fields: set[str] = set()
        self._max_fields = settings.max_loss_fields

    def request(self, call: EncodeCall, outcome: str) -> None:
        self._child(self._requests, "r", call.client_format, call.provider_format, outcome).inc()

    def answer(self, call: StreamCall, outcome: str) -> None:
        self._child(self._answers, "a", call.client_format, call.provider_format, outcome).inc()

    def losses(self, call: EncodeCall | StreamCall, losses: tuple[Loss, ...]) -> None:
        for loss in losses:
            field = loss.field[:MAX_FIELD]
            if field not in self._fields:
                if len(self._fields) >= self._max_fields:
                    field = "other"  # unknown keys are the client's to invent
                else:
                    self._fields.add(field)
            self._child(self._losses, "l", call.client_format, call.provider_format, field).inc()

    def bytes(self, call: EncodeCall | StreamCall, flow: str, count: int) -> None:
        """``flow`` is "request_in", "request_out", "answer_in" or "answer_out"."""
        self._child(self._bytes, "b", call.client_format, call.provider_format, flow).inc(count)

    def rules(self, names: Iterable[str]) -> None:
        for name in names:
            self._child(self._rules, "u", name).inc()

    def guards(self, findings: Iterable[Finding]) -> None:
        for each in findings:
            # Kinds of the operator's own come from the configuration, and so are few.
            self._child(self._guards, "g", each.guard, each.rule, each.action).inc(each.count)

    def vault(self, outcome: str, count: int = 1) -> None:
        """``outcome`` is "kept", "refused", "restored", "missing", "unfit" or "failed"."""
        if count:
            self._child(self._vault, "v", outcome).inc(count)

    def _child(self, counter: Counter, kind: str, *labels: str) -> Counter:
        key = (kind, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = counter.labels(*labels)
        return child
