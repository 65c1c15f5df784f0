"""Tunables of the auth service."""

import msgspec


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. A change of the file counts once it was seen the same in two polls, so that a file being written is not
    taken for a short one: it is in force after at most two ``poll``."""

    poll: float = 0.2
    republish: float = 2.0
    retry: float = 0.5
    publish_timeout: float = 5.0
    first_publication: float = 3.0
    visible: float = 1.0
