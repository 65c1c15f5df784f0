"""Logins: how people log in at the providers that give no API key, as data. One TOML file here is one login.

What cannot be said as data is one named function of auth's (``omni_auth.domain.logins.deviations``), whose name stands
in ``follow`` or ``dialect``. No file holds a client secret: who needs one gives it in the environment.
"""

from omni_catalogue.logins.files import LOGINS, NAMES, LoginDataError, override
from omni_catalogue.logins.shapes import (
    FLOWS,
    Answer,
    Authorize,
    Client,
    Device,
    Endpoint,
    Identity,
    Login,
    Paths,
    Served,
    Use,
)

__all__ = [
    "FLOWS",
    "LOGINS",
    "NAMES",
    "Answer",
    "Authorize",
    "Client",
    "Device",
    "Endpoint",
    "Identity",
    "Login",
    "LoginDataError",
    "Paths",
    "Served",
    "Use",
    "override",
]
