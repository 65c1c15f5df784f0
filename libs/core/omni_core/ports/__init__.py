"""The ports between services: one module a port, a Protocol and the values that cross it.

A service's implementation satisfies its Protocol directly, and that is the in-process twin; ``omni_core.clients`` holds
the gRPC twin. Neither caller nor implementation sees a protobuf.
"""
