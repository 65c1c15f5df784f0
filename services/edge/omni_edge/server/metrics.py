"""The edge's numbers. What is counted once a request is counted in dictionaries (``omni_core.meters``)."""

from omni_core.meters import Meter, Spread
from prometheus_client import CollectorRegistry, Counter, Gauge

from omni_edge.domain.surfaces import SURFACES

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_CLASSES = {0: "gone", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


class SurfaceMetrics:
    """The numbers of one surface."""

    __slots__ = ("_classes", "_first_byte", "_seconds", "broken", "client_gone")

    def __init__(self, name: str, families: "EdgeMetrics") -> None:
        # All are there from the beginning, else a rate would miss the first 5xx of all.
        self._classes = {hundred: families.requests.series((name, label)) for hundred, label in _CLASSES.items()}
        self._seconds = families.seconds.series((name,))
        self._first_byte = families.first_byte.series((name,))
        self.client_gone = families.client_gone.labels(name)
        self.broken = families.broken.labels(name)

    def answered(self, status: int, seconds: float, *, at_once: bool = False) -> None:
        """``status`` 0 is a client that left before there was one. An answer that went out in one piece, ``at_once``,
        began when it ended."""
        self._classes[status // 100].value += 1
        self._seconds.observe(seconds)
        if at_once:
            self._first_byte.observe(seconds)

    def began(self, seconds: float) -> None:
        """The first byte of an answer's body has gone out, and more is to come."""
        self._first_byte.observe(seconds)


class EdgeMetrics:
    """Families of the edge; labels are bounded: surfaces and error kinds are tables."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Meter(
            "omniroute_edge_requests", "Requests answered, by surface and status class",
            ["surface", "status_class"], registry,
        )  # fmt: skip
        self.seconds = Spread(
            "omniroute_edge_request_seconds", "From the head of a request to the end of its answer",
            ["surface"], _SECONDS, registry,
        )  # fmt: skip
        self.first_byte = Spread(
            "omniroute_edge_first_byte_seconds", "From the head of a request to the first byte of its answer's body",
            ["surface"], _SECONDS, registry,
        )  # fmt: skip
        self.streams = 0
        Gauge(
            "omniroute_edge_active_streams", "Streams being sent to clients now", registry=registry
        ).set_function(lambda: self.streams)  # fmt: skip
        self.refusals = Counter(
            "omniroute_edge_refusals", "Requests the edge itself refused, by kind of error",
            ["surface", "kind"], registry=registry,
        )  # fmt: skip
        self.broken = Counter(
            "omniroute_edge_broken_answers", "Answers that failed after their head was sent",
            ["surface"], registry=registry,
        )  # fmt: skip
        self.client_gone = Counter(
            "omniroute_edge_client_gone", "Requests whose client left before the answer was whole",
            ["surface"], registry=registry,
        )  # fmt: skip
        self._surfaces = {surface.name: SurfaceMetrics(surface.name, self) for surface in SURFACES}

    def surface(self, name: str) -> SurfaceMetrics:
        return self._surfaces[name]
