"""The edge's numbers. Children are bound once: a labelled lookup per request costs more than the increment."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from omni_edge.domain.surfaces import SURFACES

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_CLASSES = ("2xx", "3xx", "4xx", "5xx", "gone")


class SurfaceMetrics:
    """Bound children of one surface. ``requests`` is by hundreds digit of the status, 0 for a client that left."""

    __slots__ = ("broken", "client_gone", "first_byte", "requests", "seconds")

    def __init__(self, name: str, families: "EdgeMetrics") -> None:
        children = [families.requests.labels(name, status_class) for status_class in _CLASSES]
        self.requests = {2: children[0], 3: children[1], 4: children[2], 5: children[3], 0: children[4]}
        self.seconds = families.seconds.labels(name)
        self.first_byte = families.first_byte.labels(name)
        self.client_gone = families.client_gone.labels(name)
        self.broken = families.broken.labels(name)


class EdgeMetrics:
    """Families of the edge; labels are bounded: surfaces and error kinds are tables."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "omniroute_edge_requests", "Requests answered, by surface and status class",
            ["surface", "status_class"], registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "omniroute_edge_request_seconds", "From the head of a request to the end of its answer",
            ["surface"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.first_byte = Histogram(
            "omniroute_edge_first_byte_seconds", "From the head of a request to the first byte of its answer's body",
            ["surface"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.active_streams = Gauge(
            "omniroute_edge_active_streams", "Streams being sent to clients now", registry=registry
        )  # fmt: skip
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
