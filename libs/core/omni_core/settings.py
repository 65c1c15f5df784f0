"""Settings of a process: where its neighbours are and where its data goes. Environment variables only.

What an organisation configures (providers, keys, limits) is in the configuration file instead, which auth owns.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from omni_catalogue.networks import Network, networks

from omni_core.tls import TlsFiles
from omni_core.tracing import TraceSettings

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
SUPERVISOR_PORT = 20156  # HTTP too: of the process that watches over the workers of a gateway or an edge


# Found by their announcements over NATS unless an address is set; there may be many of them.
DISCOVERED = ("router", "translator")
DISCOVER = "discover"


class ConfigKeys(msgspec.Struct, frozen=True):
    """What published configurations are signed with, and by whose signatures they are known: PEM, or the path of a file
    of it. Where all is empty the service token takes its place."""

    signing: str = ""
    signing_file: str = ""
    public: str = ""
    public_file: str = ""

    def __repr__(self) -> str:
        return "ConfigKeys(…)"


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every process needs to know.

    ``peers`` maps a service to the "host:port" of its gRPC listener, to "dns:///name:port" for all that a name stands
    for, and router and translator to "discover" or to several addresses with commas; ``token`` is the shared service
    token. ``advertise`` is what others find this process' gRPC listener by ("host" or "host:port"), "" to find that
    out; ``grpc_max_age`` in seconds, 0 for connections that live for ever. ``nats_replicas`` is how many servers of a
    NATS cluster hold each stream and bucket. ``tls`` is this process' certificate for calls between services, and for
    Redis and NATS where their URLs say rediss:// and tls://; ``redis_ca`` and ``nats_ca`` are the CAs of those two
    where they have another ("system" for those this machine trusts). ``config_keys`` are for published configurations.
    ``allowed_networks`` are private ones that providers' names may stand for.
    """

    data_dir: Path
    redis_url: str
    nats_url: str
    nats_replicas: int = 1
    token: str
    peers: dict[str, str]
    grpc_host: str = "127.0.0.1"
    grpc_max_age: float = 300.0
    advertise: str = ""
    http_host: str = "127.0.0.1"
    log_level: str = "INFO"
    log_format: str = "text"
    trace: TraceSettings | None = None
    tls: TlsFiles | None = None
    redis_ca: str = ""
    nats_ca: str = ""
    config_keys: ConfigKeys = ConfigKeys()
    allowed_networks: tuple[Network, ...] = ()

    def __repr__(self) -> str:
        return f"CoreSettings(data_dir={str(self.data_dir)!r}, peers={self.peers!r})"

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, redis_url: str, nats_url: str, token: str) -> "CoreSettings":
        """Read ``DATA_DIR``, ``OMNIROUTE_<SERVICE>_ADDR``, ``OMNIROUTE_GRPC_HOST``, ``OMNIROUTE_GRPC_MAX_AGE``,
        ``OMNIROUTE_NATS_REPLICAS`` (1 to 5),
        ``OMNIROUTE_CONFIG_SIGNING_KEY``, ``OMNIROUTE_CONFIG_PUBLIC_KEYS`` and each with ``_FILE``,
        ``OMNIROUTE_TLS_CA``, ``_CERT`` and ``_KEY`` (all or none), ``OMNIROUTE_REDIS_CA``, ``OMNIROUTE_NATS_CA``,
        ``OMNIROUTE_ALLOWED_NETWORKS``,
        ``OMNIROUTE_ADVERTISE``, ``OMNIROUTE_HTTP_HOST``, ``OMNIROUTE_LOG_LEVEL`` and ``OMNIROUTE_LOG_FORMAT`` ("text"
        or "json"); the URLs and the token are the caller's, because they may be of servers it has just started.

        Raises ``ValueError`` for an age that is no number of seconds, replicas or networks that are none, or half a
        certificate."""
        return cls(
            data_dir=Path(env.get("DATA_DIR") or Path.home() / ".omniroute").expanduser(),
            redis_url=redis_url,
            nats_url=nats_url,
            nats_replicas=_replicas(env, "OMNIROUTE_NATS_REPLICAS"),
            token=token,
            peers={
                name: env.get(f"OMNIROUTE_{name.upper()}_ADDR", "").strip()
                or (DISCOVER if name in DISCOVERED else f"127.0.0.1:{port}")
                for name, port in GRPC_PORTS.items()
            },
            grpc_host=env.get("OMNIROUTE_GRPC_HOST", "127.0.0.1"),
            grpc_max_age=_seconds(env, "OMNIROUTE_GRPC_MAX_AGE", 300.0),
            advertise=env.get("OMNIROUTE_ADVERTISE", "").strip(),
            http_host=env.get("OMNIROUTE_HTTP_HOST", "127.0.0.1"),
            log_level=env.get("OMNIROUTE_LOG_LEVEL", "INFO").upper(),
            log_format=env.get("OMNIROUTE_LOG_FORMAT", "text"),
            trace=TraceSettings.from_env(env),
            tls=_tls(env),
            redis_ca=env.get("OMNIROUTE_REDIS_CA", "").strip(),
            nats_ca=env.get("OMNIROUTE_NATS_CA", "").strip(),
            allowed_networks=_networks(env, "OMNIROUTE_ALLOWED_NETWORKS"),
            config_keys=ConfigKeys(
                signing=env.get("OMNIROUTE_CONFIG_SIGNING_KEY", "").strip(),
                signing_file=env.get("OMNIROUTE_CONFIG_SIGNING_KEY_FILE", "").strip(),
                public=env.get("OMNIROUTE_CONFIG_PUBLIC_KEYS", "").strip(),
                public_file=env.get("OMNIROUTE_CONFIG_PUBLIC_KEYS_FILE", "").strip(),
            ),
        )


def _tls(env: Mapping[str, str]) -> TlsFiles | None:
    names = ("OMNIROUTE_TLS_CA", "OMNIROUTE_TLS_CERT", "OMNIROUTE_TLS_KEY")
    paths = [env.get(name, "").strip() for name in names]
    if not any(paths):
        return None
    missing = [name for name, path in zip(names, paths, strict=True) if not path]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be set, too: a CA, a certificate and its key belong together")
    return TlsFiles(*(Path(path).expanduser() for path in paths))


def _networks(env: Mapping[str, str], name: str) -> tuple[Network, ...]:
    text = env.get(name, "")
    try:
        return networks(word for part in text.split(",") if (word := part.strip()))
    except ValueError as error:
        raise ValueError(f"{name} is '{text}': networks in CIDR with commas between, such as 10.8.0.0/16") from error


def _replicas(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "").strip() or "1"
    if text not in ("1", "2", "3", "4", "5"):
        raise ValueError(f"{name} is '{text}': NATS keeps 1 to 5 copies")
    return int(text)


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise ValueError(f"{name} is '{text}', which is no number of seconds")
    return seconds
