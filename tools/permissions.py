"""What each service may do in Redis and in NATS: one table, from which the files in ``deploy`` are written.

Who owns a key or a subject is in the services' READMEs; here is who needs it. Commands of Redis are those of the
Lua scripts, read out of them. A process that runs several services is a user with the rights of all.
"""

import re
from pathlib import Path

from omni_analytics import settings as analytics
from omni_core import config_feed, console, kept_bodies, members
from omni_edge.adapters import shared_keys
from omni_launch.targets import PARTS, TARGETS
from omni_ledger import outbox
from omni_router.adapters import bells

ROOT = Path(__file__).resolve().parents[1]

# Every user there is: a process of each kind that runs apart. ``up`` has servers, and a password, of its own.
USERS = {**{name: (name,) for name in PARTS}, "gateway": TARGETS["gateway"]}
# May do everything; for the person who has the servers' own secret.
ADMIN = "admin"

# ---- Redis ----------------------------------------------------------------------------------------------------------

# Whoever has a connection says these; SETINFO is refused by servers that do not know it, which harms nobody.
_CONNECTION = ("hello", "auth", "ping", "select", "client|setinfo", "eval", "evalsha")
_LEDGER = tuple((ROOT / "libs/ledger/omni_ledger/lua").glob("*.lua"))
_RECORDING = tuple(ROOT / f"services/router/omni_router/adapters/{name}.lua" for name in ("recording", "meaning"))
_VAULT = (ROOT / "services/translator/omni_translator/adapters/vault.lua",)


def commands(*scripts: Path) -> set[str]:
    """What scripts call."""
    text = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
    return {name.lower() for name in re.findall(r"\bp?call\(\s*['\"](\w+)['\"]", text)}


class Keys:
    """Patterns of keys, commands upon them, and patterns of channels."""

    def __init__(self, patterns: tuple[str, ...], allowed: set[str], channels: tuple[str, ...] = ()) -> None:
        self.patterns = patterns
        self.commands = allowed
        self.channels = channels


REDIS: dict[str, Keys] = {
    "router": Keys(
        ("quota:*", "circuit:*", "choice:*", "pace:*", "idem:*", "cache:*"),
        commands(*_LEDGER, *_RECORDING) | {"subscribe"},
        (f"{bells.CHANNEL}*", f"{bells.TURNS}*"),
    ),
    "quota": Keys(("quota:*", "circuit:*", "pace:*"), commands(*_LEDGER), (f"{bells.TURNS}*",)),
    "translator": Keys(("vault:*",), commands(*_VAULT) | {"mget", "script|load"}),
}
# The edge's, where it is in one process with a service that has a connection; by itself it has none.
_TALLIES = (ROOT / "services/edge/omni_edge/adapters/shared_tallies.lua",)
_BESIDE = {
    "edge": Keys((f"{shared_keys.PREFIX}*", "edgerl:*"), commands(*_TALLIES) | {"get", "set", "script|load"}),
}


def redis_users() -> list[str]:
    """Those that have a connection to Redis."""
    return [user for user, services in USERS.items() if any(service in REDIS for service in services)]


def users_acl() -> str:
    """The users of Redis. ``#password`` stands where start.sh puts the hash of the user's own."""
    lines = [
        "# Written by `make permissions` from tools/permissions.py. #password is put in by start.sh.",
        "user default off resetpass resetkeys resetchannels -@all",
        f"user {ADMIN} on #password ~* &* +@all",
        "# For health checks: needs no password, and can do nothing else.",
        "user health on nopass resetkeys resetchannels -@all +ping",
    ]
    for user in redis_users():
        keys = [held[service] for service in USERS[user] for held in (REDIS, _BESIDE) if service in held]
        patterns = sorted({pattern for each in keys for pattern in each.patterns})
        allowed = sorted({command for each in keys for command in each.commands}.union(_CONNECTION))
        channels = sorted({f"&{pattern}" for each in keys for pattern in each.channels})
        rules = [
            *(f"~{pattern}" for pattern in patterns), " ".join(["resetchannels", *channels, "-@all"]),
            *(f"+{each}" for each in allowed),
        ]  # fmt: skip
        lines.append(f"user {user} on #password {' '.join(rules)}")
    return "\n".join(lines) + "\n"


# ---- NATS -----------------------------------------------------------------------------------------------------------

_CONFIG = f"KV_{config_feed.BUCKET}"
_MEMBERS = f"KV_{members.BUCKET}"
_API = "$JS.API"


def _made(stream: str) -> list[str]:
    """To find a stream, or make it where there is none. What is there is not changed by that."""
    return [f"{_API}.STREAM.INFO.{stream}", f"{_API}.STREAM.CREATE.{stream}"]


def _read(stream: str, keys: str) -> list[str]:
    """To read the keys ``keys`` of a bucket and be told of changes."""
    bucket = stream.removeprefix("KV_")
    return [
        f"{_API}.DIRECT.GET.{stream}.$KV.{bucket}.{keys}",
        f"{_API}.STREAM.MSG.GET.{stream}",
        f"{_API}.CONSUMER.CREATE.{stream}",
        f"{_API}.CONSUMER.CREATE.{stream}.*.$KV.{bucket}.{keys}",
        f"{_API}.CONSUMER.INFO.{stream}.*",
        f"{_API}.CONSUMER.MSG.NEXT.{stream}.*",
    ]


_CONFIG_READ = [*_made(_CONFIG), *_read(_CONFIG, config_feed.KEY)]
_USAGE_WRITE = [*_made(outbox.STREAM), outbox.SUBJECTS]
_USAGE_READ = [
    *(f"{_API}.CONSUMER.{verb}.{outbox.STREAM}.{analytics.DURABLE}" for verb in ("INFO", "DURABLE.CREATE", "MSG.NEXT")),
    f"{_API}.CONSUMER.CREATE.{outbox.STREAM}.{analytics.DURABLE}.{outbox.SUBJECTS}",
    f"{_API}.CONSUMER.DURABLE.CREATE.{outbox.STREAM}.{analytics.DURABLE}",
    f"$JS.ACK.{outbox.STREAM}.{analytics.DURABLE}.>",
]
_DEAD_WRITE = [*_made(analytics.DEAD_STREAM), analytics.DEAD_SUBJECTS]
# To look at what was put aside, and to remove what is counted after all.
_DEAD_READ = [f"{_API}.STREAM.MSG.{verb}.{analytics.DEAD_STREAM}" for verb in ("GET", "DELETE")]
# Bodies of calls: whoever writes one hears whether the stream has it, and nothing else of it.
_BODIES_WRITE = [kept_bodies.SUBJECTS]
_BODIES_READ = [
    *_made(kept_bodies.STREAM),
    *(
        f"{_API}.CONSUMER.{verb}.{kept_bodies.STREAM}.{kept_bodies.DURABLE}"
        for verb in ("INFO", "DURABLE.CREATE", "MSG.NEXT")
    ),
    f"{_API}.CONSUMER.CREATE.{kept_bodies.STREAM}.{kept_bodies.DURABLE}.{kept_bodies.SUBJECTS}",
    f"$JS.ACK.{kept_bodies.STREAM}.{kept_bodies.DURABLE}.>",
]
# Streams are brought to a new version's shape by one service only.
_SHAPE = [f"{_API}.STREAM.UPDATE.{stream}" for stream in (outbox.STREAM, analytics.DEAD_STREAM, kept_bodies.STREAM)]


# By service: what it publishes besides its own announcement, and whose announcements it hears.
NATS: dict[str, tuple[list[str], str]] = {
    "edge": (_CONFIG_READ, "router.>"),
    "router": ([*_CONFIG_READ, *_USAGE_WRITE, *_BODIES_WRITE], "translator.>"),
    "translator": ([], ""),
    "quota": ([*_CONFIG_READ, *_USAGE_WRITE], ""),
    "auth": ([*_CONFIG_READ, f"$KV.{config_feed.BUCKET}.{config_feed.KEY}"], ""),
    "analytics": (
        [*_CONFIG_READ, *_made(outbox.STREAM), *_USAGE_READ, *_DEAD_WRITE, *_DEAD_READ, *_BODIES_READ, *_SHAPE],
        "",
    ),
    "dashboard": ([f"{console.SUBJECT}.*.*"], ">"),
}


def publishes(user: str) -> list[str]:
    """The subjects that it may publish to."""
    found: dict[str, None] = {}
    for service in USERS[user]:
        subjects, hears = NATS[service]
        own = [*_made(_MEMBERS), f"$KV.{members.BUCKET}.{service}.*"]
        heard = _read(_MEMBERS, hears) if hears else []
        found |= dict.fromkeys([*own, *heard, *subjects])
    return list(found)


def subscribes(user: str) -> list[str]:
    """The subjects that it may listen to: answers to itself, questions about its log, and announcements."""
    heard = [NATS[service][1] for service in USERS[user]]
    own = [f"_INBOX_{user}.>", f"{console.SUBJECT}.{user}.*"]
    return [*own, *(f"$KV.{members.BUCKET}.{each}" for each in heard if each)]


def permissions_conf() -> str:
    """The users of NATS, to be included in its ``authorization``."""
    lines = [
        "# Written by `make permissions` from tools/permissions.py. What starts with $NATS_ is in the environment.",
        "users = [",
        f"  {{ user: {ADMIN}, password: $NATS_PASSWORD }}",
    ]
    for user in USERS:
        lines += [
            f"  {{ user: {user}, password: $NATS_{user.upper()}_PASSWORD, permissions: {{",
            "    publish: { allow: [",
            *(f'      "{subject}"' for subject in publishes(user)),
            "    ] }",
            "    subscribe: { allow: [",
            *(f'      "{subject}"' for subject in subscribes(user)),
            "    ] }",
            # To whoever asked it, once each, and soon.
            '    allow_responses: { max: 1, expires: "10s" }',
            "  } }",
        ]
    return "\n".join([*lines, "]", ""])


# ---- files ----------------------------------------------------------------------------------------------------------


def files() -> dict[Path, str]:
    """What is written where. Kustomize reads nothing outside of its own folder, so there are copies."""
    acl, conf = users_acl(), permissions_conf()
    start = {name: (ROOT / f"deploy/{name}/start.sh").read_text(encoding="utf-8") for name in ("redis", "nats")}
    return {
        ROOT / "deploy/redis/users.acl": acl,
        ROOT / "deploy/nats/permissions.conf": conf,
        ROOT / "deploy/k8s/base/redis/users.acl": acl,
        ROOT / "deploy/k8s/base/redis/start.sh": start["redis"],
        ROOT / "deploy/k8s/base/nats/permissions.conf": conf,
        ROOT / "deploy/k8s/base/nats/start.sh": start["nats"],
    }
