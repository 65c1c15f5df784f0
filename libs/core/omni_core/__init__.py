"""Plumbing every service shares: settings, ports and their gRPC twins, the bus, Redis, telemetry, clock and ids.

Owns how processes talk and how they are watched. Knows nothing of models, money or routing.
"""

import os

# Read when grpc is first imported. Below errors its own log reports every neighbour that restarts.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
