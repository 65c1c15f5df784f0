"""The gRPC twins of the ports: each class satisfies its Protocol in ``omni_core.ports``."""
