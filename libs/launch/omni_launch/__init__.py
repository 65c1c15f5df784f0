"""The composition root: the one package that knows every other.

Owns the ``omniroute`` command, which components a process runs and how they are wired (in process or over gRPC), the
Redis and NATS of a laptop, signals and drain. Must never hold a rule of the product: whatever decides about a request,
a key or a price belongs to a service.
"""
