"""Settings of a process: where its neighbours are and where its data goes. Environment variables only.

What an organisation configures (providers, keys, limits) is in the configuration file instead, which auth owns.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

# One place for every port. HTTP is what people and probes open; gRPC is what services call.
GRPC_PORTS = {"router": 20141, "translator": 20142, "quota": 20143, "auth": 20144, "analytics": 20145}
HTTP_PORTS = {
    "edge": 20128,
    "dashboard": 20130,
    "router": 20151,
    "translator": 20152,
    "quota": 20153,
    "auth": 20154,
    "analytics": 20155,
}


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every process needs to know.

    ``peers`` maps a service to the "host:port" of its gRPC listener; ``token`` is the shared service token.
    """

    data_dir: Path
    redis_url: str
    nats_url: str
    token: str
    peers: dict[str, str]
    grpc_host: str = "127.0.0.1"
    http_host: str = "127.0.0.1"
    log_level: str = "INFO"
    log_format: str = "text"

    def __repr__(self) -> str:
        return f"CoreSettings(data_dir={str(self.data_dir)!r}, peers={self.peers!r})"

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, redis_url: str, nats_url: str, token: str) -> "CoreSettings":
        """Read ``DATA_DIR``, ``OMNIROUTE_<SERVICE>_ADDR``, ``OMNIROUTE_GRPC_HOST``, ``OMNIROUTE_HTTP_HOST``,
        ``OMNIROUTE_LOG_LEVEL`` and ``OMNIROUTE_LOG_FORMAT`` ("text" or "json"); the URLs and the token are the
        caller's, because they may be of servers it has just started."""
        return cls(
            data_dir=Path(env.get("DATA_DIR") or Path.home() / ".omniroute").expanduser(),
            redis_url=redis_url,
            nats_url=nats_url,
            token=token,
            peers={
                name: env.get(f"OMNIROUTE_{name.upper()}_ADDR", f"127.0.0.1:{port}")
                for name, port in GRPC_PORTS.items()
            },
            grpc_host=env.get("OMNIROUTE_GRPC_HOST", "127.0.0.1"),
            http_host=env.get("OMNIROUTE_HTTP_HOST", "127.0.0.1"),
            log_level=env.get("OMNIROUTE_LOG_LEVEL", "INFO").upper(),
            log_format=env.get("OMNIROUTE_LOG_FORMAT", "text"),
        )
