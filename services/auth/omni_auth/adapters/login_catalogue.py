"""The logins of the catalogue with what the environment says of them: the ``LoginCatalogue`` port."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from omni_catalogue.logins import LOGINS, Login, LoginDataError, override
from omni_core.redaction import keep_secret
from omni_wire.errors import InvalidRequest

from omni_auth.domain.logins.calls import ClientId
from omni_auth.domain.problems import ConfigErrors

OVERRIDES = "OMNIROUTE_LOGIN_OVERRIDES"


class EnvironmentLogins:
    """``{NAME}_OAUTH_CLIENT_ID`` and ``…_SECRET`` say who we are. ``OMNIROUTE_LOGIN_OVERRIDES`` names a TOML file with
    a table a login, whose words stand for those of the catalogue. Raises ``ConfigErrors`` for one that does not fit."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.logins: Mapping[str, Login] = LOGINS
        if name := env.get(OVERRIDES, ""):
            try:
                self.logins = override(LOGINS, tomllib.loads(Path(name).read_text("utf-8")), name)
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, LoginDataError) as error:
                raise ConfigErrors((f"{OVERRIDES}: {name}: {error}",)) from None

    def client(self, login: Login) -> ClientId:
        said = ClientId(self._first(login, "ID") or login.client.id, self._first(login, "SECRET"))
        if login.client.needs_secret and not said.secret:
            name = f"{login.client.env[0]}_OAUTH_CLIENT_SECRET"
            told = (
                f"{login.title} gives tokens only to a client with a secret, which is not part of OmniRoute: set {name}"
            )
            raise InvalidRequest(told, code="client_secret_missing", param="login")
        if said.secret:
            keep_secret(said.secret)
        return said

    def _first(self, login: Login, what: str) -> str:
        names = (f"{env}_OAUTH_CLIENT_{what}" for env in login.client.env)
        return next((said for name in names if (said := self._env.get(name, "").strip())), "")
