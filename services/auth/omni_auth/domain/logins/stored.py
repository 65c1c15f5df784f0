"""A login as it is kept, and when it is renewed."""

from collections.abc import Mapping

import msgspec
from omni_catalogue.logins import Login

from omni_auth.domain.logins.tokens import GOOD, Tokens

# What a token's end is taken for being before: what is on its way when it ends was sent in vain.
SKEW_MS = 10_000


class StoredLogin(msgspec.Struct, frozen=True):
    """``id`` is "kind/name". ``version`` is of its tokens, which are None where nobody asked for them; ``begun`` when
    tokens were asked for that were never kept. ``ends`` and the other times are epoch ms."""

    id: str
    kind: str
    subject: str
    label: str
    state: str
    reason: str
    version: int
    begun: int
    ends: int
    renewed: int
    connected: int
    tokens: Tokens | None = None

    def __repr__(self) -> str:
        return f"StoredLogin({self.id!r}, version={self.version})"

    @property
    def name(self) -> str:
        return self.id.partition("/")[2]

    @property
    def is_good(self) -> bool:
        return self.state == GOOD

    def is_over(self, now_ms: int) -> bool:
        return bool(self.ends) and now_ms >= self.ends - min(SKEW_MS, (self.ends - self.renewed) // 4)

    def is_due(self, login: Login, now_ms: int) -> bool:
        """Whether it should be renewed by now: its login's lead before the end, but not in the first half of its life,
        for some servers give shorter ones than others."""
        if not self.ends or login.renewal == "never":
            return False
        half = self.renewed + (self.ends - self.renewed) // 2
        return now_ms >= max(self.ends - login.lead * 1000, half)


class Leased(msgspec.Struct, frozen=True):
    """The answer to who wants to renew: with a ``fence`` it is theirs; else it is somebody else's for ``wait`` ms, or,
    where that is 0, has been done already. ``broken_off`` is when an earlier renewal began that never ended."""

    login: StoredLogin
    fence: int = 0
    wait: int = 0
    broken_off: int = 0


def again(login_id: str, parameters: Mapping[str, str] | None = None) -> str:
    """The command that mends it."""
    kind, _, name = login_id.partition("/")
    more = "".join(f" --parameter {key}={value}" for key, value in (parameters or {}).items())
    return f"omniroute login {kind} --account {name}{more}"
