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

    # Logins: how long a provider may take to answer; for how long one process has the right to renew tokens (longer);
    # how long whoever asks for a credential, or says that one was refused, waits for a renewal; how soon after one no
    # other is made on somebody's word; how often it is looked for tokens that are due; how long after a failure it is
    # tried again.
    login_ask: float = 15.0
    login_lease: float = 25.0
    login_patience: float = 1.5
    login_refused_patience: float = 12.0
    login_gap: float = 30.0
    login_look: float = 5.0
    login_retry: float = 20.0
