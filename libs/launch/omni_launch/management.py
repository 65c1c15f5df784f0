"""A configuration to change from the command line: through the management API, or else in the store itself."""

import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
from omni_core.ports.analytics import REPRICE_TIMEOUT
from omni_core.ports.configuration import APPLY_TIMEOUT, Applied, ObjectChange
from omni_core.ports.logins import LOGIN_TIMEOUT
from omni_core.ports.quota import REFRESH_TIMEOUT
from omni_core.redaction import keep_secret
from omni_wire.errors import InvalidRequest

from omni_launch.environment import Flags, config_file
from omni_launch.notice import answering
from omni_launch.options import prepared
from omni_launch.problems import CannotStart

URL, KEY, KEY_FILE = "OMNIROUTE_MANAGEMENT_URL", "OMNIROUTE_MANAGEMENT_KEY", "OMNIROUTE_MANAGEMENT_KEY_FILE"
TIMEOUT = 30.0
APPLY_WITHIN = APPLY_TIMEOUT + 10  # more than the dashboard gives auth, so that what it says of that is heard
TEST_WITHIN = 40.0
REFRESH_WITHIN = REFRESH_TIMEOUT + 10
LOGIN_WITHIN = LOGIN_TIMEOUT + 10
REPRICE_WITHIN = 2 * REPRICE_TIMEOUT + 10  # it is looked at, and then written
_MOST = 64 * 1024 * 1024
_PLATFORM = "This needs an admin's key of who runs the gateway"
_NEEDS_QUOTA = f"{_PLATFORM}, with the area quota"
_NEEDS_CONFIG = f"{_PLATFORM}, with the area config"
_NEEDS_SYSTEM = f"{_PLATFORM}, with the area system"
_NEEDS_BODIES = "This needs an admin's key, with the area bodies"
_NEEDS = "This needs an admin's key, with the area config, and keys for a file's keys"


class Management(Protocol):
    """``is_offline`` says that a change is in force only once a gateway has looked."""

    is_offline: bool

    def apply(self, text: str, source: str, *, mode: str, dry_run: bool, take_over: bool) -> Applied:
        """See ``ConfigurationPort.apply_configuration``."""
        ...

    def export(self) -> str: ...


class Access(msgspec.Struct, frozen=True):
    """What the command line said; None where it was silent."""

    url: str | None = None
    key_file: Path | None = None
    data_dir: Path | None = None
    config: Path | None = None


@contextmanager
def reached(access: Access) -> Iterator[Management]:
    """The API at --url (or ``OMNIROUTE_MANAGEMENT_URL``), else that of the gateway which runs on the data directory
    and has an admin's key there, else the store of the data directory. Raises ``CannotStart``."""
    url = access.url or os.environ.get(URL, "").strip()
    if url:
        key = _key(access.key_file, os.environ)
        if not key:
            raise CannotStart(
                f"there is no key for {url}", f"Name the file that holds it with --key-file, or set {KEY} or {KEY_FILE}"
            )
        yield Remote(url, key)
        return
    from omni_auth.adapters.offline import LOCAL_KEY_FILE

    place, env = prepared(access.data_dir, access.config)
    local = place / LOCAL_KEY_FILE
    if (here := answering(place)) and (key := _key(access.key_file, env) or _text(local)):
        yield Remote(here, key, is_here=True)
        return
    from omni_auth.adapters.offline_configuration import open_configuration

    path = config_file(Flags(data_dir=access.data_dir, config=access.config), env)
    with open_configuration(place, path, env) as port:
        yield Store(port)


@contextmanager
def gateway(access: Access) -> "Iterator[Remote]":
    """As ``reached``, for what a store by itself cannot tell. Raises ``CannotStart`` where no gateway runs."""
    with reached(access) as management:
        if not isinstance(management, Remote):
            raise CannotStart(
                "no gateway runs on this data directory", "Start one: omniroute up; or name one with --url"
            )
        yield management


class Store:
    """On the store of the data directory. Blocking."""

    is_offline = True

    def __init__(self, port: Any) -> None:
        from omni_auth.adapters.offline import actor
        from omni_core.ports.configuration import Caller

        self._port, self._caller = port, Caller(actor())

    def apply(self, text: str, source: str, *, mode: str, dry_run: bool, take_over: bool) -> Applied:
        import asyncio

        from omni_catalogue.scopes import ANY

        asked = self._port.apply_configuration(
            self._caller, text, source, mode=mode, dry_run=dry_run, take_over=take_over, scopes=ANY
        )
        found: Applied = asyncio.run(asked)
        return found

    def export(self) -> str:
        import asyncio

        return str(asyncio.run(self._port.export_configuration(self._caller)))


class Remote:
    """Over HTTP, with an admin's key. ``is_here`` says that it is this machine's own, which no proxy is asked for.
    Every call blocks, and raises ``InvalidRequest`` for what the API refuses, ``CannotStart`` where it is not there."""

    is_offline = False

    def __init__(self, url: str, key: str, *, is_here: bool = False) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise CannotStart(f"'{url}' is no URL of a management API", "Give one such as http://127.0.0.1:20128")
        keep_secret(key)
        self._url, self._key = url.rstrip("/").removesuffix("/v1"), key
        proxies = [urllib.request.ProxyHandler({})] if is_here else []
        self._opener = urllib.request.build_opener(_Staying(), *proxies)

    def apply(self, text: str, source: str, *, mode: str, dry_run: bool, take_over: bool) -> Applied:
        flags = {"dry_run": dry_run, "take_over": take_over}
        asked = {"source": source, "mode": mode, **{name: str(value).lower() for name, value in flags.items()}}
        body = self._ask("POST", f"/api/config/apply?{urllib.parse.urlencode(asked)}", text.encode(), APPLY_WITHIN)
        try:
            found = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._stranger() from None
        changes = (ObjectChange(one.action, one.kind, one.name, one.before, one.after) for one in found.changes)
        return Applied(tuple(changes), found.revision, tuple(found.warnings), found.unchanged)

    def export(self) -> str:
        return self._ask("GET", "/api/config/export").decode(errors="replace")

    def simulate(self, asked: Mapping[str, Any], organisation: str = "") -> dict[str, Any]:
        """What ``POST /api/simulate-route`` answers."""
        query = f"?{urllib.parse.urlencode({'organisation': organisation})}" if organisation else ""
        needs = "An admin's key simulates any key, a developer's only itself; scopes must have the area usage"
        body = self._ask(
            "POST", f"/api/simulate-route{query}", msgspec.json.encode(asked), kind="application/json", needs=needs
        )
        return self._told(body)

    def test_account(self, account: str, model: str = "") -> dict[str, Any]:
        """What ``POST /api/accounts/{account}/test`` answers."""
        query = f"?{urllib.parse.urlencode({'model': model})}" if model else ""
        path = f"/api/accounts/{urllib.parse.quote(account, safe='/')}/test{query}"
        return self._told(self._ask("POST", path, b"", TEST_WITHIN, needs=_NEEDS_CONFIG))

    def test_proxy(self, name: str) -> dict[str, Any]:
        """What ``POST /api/proxies/{name}/test`` answers."""
        path = f"/api/proxies/{urllib.parse.quote(name, safe='')}/test"
        return self._told(self._ask("POST", path, b"", TEST_WITHIN, needs=_NEEDS_CONFIG))

    def accounts_of(self, provider: str) -> list[str]:
        """Names of a provider's accounts."""
        found, after = list[str](), ""
        while True:
            query = urllib.parse.urlencode({"limit": 1000, "after": after})
            page = self._got(f"/api/accounts?{query}", needs=_NEEDS_CONFIG)
            found += [str(one["name"]) for one in page["items"]]
            after = page.get("next") or ""
            if not after:
                return [name for name in found if name.partition("/")[0] == provider]

    def audit_usage(self) -> dict[str, Any]:
        """What ``GET /api/audit/usage`` answers."""
        return self._got("/api/audit/usage", needs=_PLATFORM)

    def statement(self, provider: str, from_ms: int, until_ms: int) -> dict[str, Any]:
        """What ``GET /api/usage/statement`` answers."""
        query = urllib.parse.urlencode({"provider": provider, "from": from_ms, "until": until_ms})
        return self._got(f"/api/usage/statement?{query}", needs=_PLATFORM)

    def reprice(self, from_ms: int, until_ms: int, *, apply: bool) -> dict[str, Any]:
        """What ``POST /api/usage/reprice`` answers."""
        asked = msgspec.json.encode({"from_ms": from_ms, "until_ms": until_ms, "apply": apply})
        return self._told(
            self._ask("POST", "/api/usage/reprice", asked, REPRICE_WITHIN, kind="application/json", needs=_PLATFORM)
        )

    def spend(self, month: str, by: str) -> dict[str, Any]:
        """What ``GET /api/reports/spend`` answers."""
        asked = urllib.parse.urlencode({"month": month, "by": by})
        needs = "An admin's key sees all keys, a developer's itself and no owners; scopes must have the area usage"
        return self._got(f"/api/reports/spend?{asked}", needs=needs)

    def dead_letters(self, after: str, limit: int) -> dict[str, Any]:
        """What ``GET /api/events/dead`` answers."""
        asked = urllib.parse.urlencode({"after": after, "limit": limit})
        return self._got(f"/api/events/dead?{asked}", needs=_NEEDS_SYSTEM)

    def redrive(self, ids: Sequence[str]) -> dict[str, Any]:
        """What ``POST /api/events/dead/redrive`` answers. Raises ``InvalidRequest`` for what is no id."""
        return self._sent("/api/events/dead/redrive", {"ids": ids})

    def discard(self, ids: Sequence[str]) -> list[str]:
        """Which of them there were. Raises as ``redrive``."""
        found: list[str] = self._sent("/api/events/dead/discard", {"ids": ids})["discarded"]
        return found

    def settings(self) -> tuple[dict[str, Any], str]:
        """The document of the settings, and its ETag; "" where there are none, or they are a file's."""
        try:
            found = self._got("/api/settings/settings", needs=_NEEDS)
        except InvalidRequest as error:
            if error.status == 404:
                return {}, ""
            raise
        return found["document"], found["etag"] if found["managed_by"] == "api" else ""

    def put_settings(self, document: Mapping[str, Any], etag: str) -> None:
        """Raises ``InvalidRequest`` where they are a file's (409), or not those of ``etag`` any more (412)."""
        body = msgspec.json.encode(document)
        request = self._request("PUT", "/api/settings/settings", body, "application/json")
        if etag:
            request.add_header("If-Match", f'"{etag}"')
        with self._answer(request, TIMEOUT, _NEEDS) as answer:
            answer.read(_MOST)

    def bodies(self, id_: str) -> dict[str, Any]:
        """What ``GET /api/requests/{id}/bodies`` answers. Raises ``InvalidRequest`` (404) where nothing is kept."""
        return self._got(f"/api/requests/{urllib.parse.quote(id_, safe='')}/bodies", _NEEDS_BODIES)

    def forget_bodies(self, id_: str) -> int:
        """How many there were. Raises as ``bodies``."""
        path = f"/api/requests/{urllib.parse.quote(id_, safe='')}/bodies"
        return int(self._told(self._ask("DELETE", path, needs=_NEEDS_BODIES))["forgotten"])

    def _sent(self, path: str, body: Any) -> dict[str, Any]:
        sent = msgspec.json.encode(body)
        return self._told(self._ask("POST", path, sent, kind="application/json", needs=_NEEDS_SYSTEM))

    def usage_file(self, asked: Sequence[tuple[str, str]], out: IO[bytes]) -> None:
        """What ``GET /api/export`` answers, written as it comes, however much that is."""
        needs = "An admin's key sees all keys, a developer's itself; scopes must have the area usage"
        request = self._request("GET", f"/api/export?{urllib.parse.urlencode(asked)}")
        with self._answer(request, TIMEOUT, needs) as answer:
            shutil.copyfileobj(answer, out)

    def _got(self, path: str, needs: str) -> dict[str, Any]:
        return self._told(self._ask("GET", path, needs=needs))

    def _told(self, body: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._stranger() from None

    def quota(self) -> list[dict[str, Any]]:
        """What ``GET /api/quota`` has of accounts."""
        body = self._ask("GET", "/api/quota", needs=_NEEDS_QUOTA)
        try:
            return msgspec.json.decode(body, type=_Quotas).accounts
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._stranger() from None

    def refresh_quota(self, account: str) -> None:
        """Ask the account's provider now. Raises ``InvalidRequest`` (404, 429) where nobody can be asked, or was only
        just."""
        path = f"/api/quota/accounts/{urllib.parse.quote(account, safe='/')}/refresh"
        self._ask("POST", path, b"", REFRESH_WITHIN, needs=_NEEDS_QUOTA)

    def logins(self) -> dict[str, Any]:
        """What ``GET /api/logins`` answers."""
        return self._got("/api/logins", needs=_NEEDS_CONFIG)

    def begin_login(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What ``POST /api/logins`` answers."""
        return self._login("", asked)

    def finish_login(self, callback: str) -> dict[str, Any]:
        return self._login("/finish", {"callback": callback})

    def import_login(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._login("/import", asked)

    def poll_login(self, flow: str) -> dict[str, Any]:
        return self._login(f"/flows/{urllib.parse.quote(flow)}/poll", None)

    def refresh_login(self, login: str) -> dict[str, Any]:
        return self._login(f"/{urllib.parse.quote(login)}/refresh", None)

    def forget_login(self, login: str) -> None:
        self._ask("DELETE", f"/api/logins/{urllib.parse.quote(login)}", needs=_NEEDS_CONFIG)

    def _login(self, path: str, asked: Mapping[str, Any] | None) -> dict[str, Any]:
        body = msgspec.json.encode(asked) if asked is not None else b""
        return self._told(
            self._ask("POST", f"/api/logins{path}", body, LOGIN_WITHIN, kind="application/json", needs=_NEEDS_CONFIG)
        )

    def _ask(
        self, method: str, path: str, body: bytes | None = None, timeout: float = TIMEOUT, *,
        kind: str = "application/yaml", needs: str = _NEEDS,
    ) -> bytes:  # fmt: skip
        with self._answer(self._request(method, path, body, kind), timeout, needs) as answer:
            found: bytes = answer.read(_MOST)
            return found

    def _request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/yaml"
    ) -> urllib.request.Request:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": kind}
        return urllib.request.Request(self._url + path, data=body, method=method, headers=headers)  # noqa: S310

    @contextmanager
    def _answer(self, request: urllib.request.Request, timeout: float, needs: str) -> Iterator[Any]:
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error.code, error.read(_MOST), needs) from None
        except urllib.error.URLError as error:
            raise self._away(str(error.reason)) from None
        except (OSError, HTTPException) as error:
            raise self._away(str(error) or type(error).__name__) from None

    def _refusal(self, status: int, body: bytes, needs: str) -> Exception:
        try:
            told = msgspec.json.decode(body, type=_Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._stranger(status)
        if status in (401, 403):
            return CannotStart(f"{self._url}: {told.detail.rstrip('.')}", needs)
        return InvalidRequest(told.detail, status=status, code=told.code, param=told.param)

    def _stranger(self, status: int = 200) -> CannotStart:
        return CannotStart(f"{self._url} answers {status}, and not as a management API does", "Look at --url")

    def _away(self, why: str) -> CannotStart:
        return CannotStart(f"cannot reach {self._url}: {why}", "Is omniroute running there?")

    def __repr__(self) -> str:
        return f"Remote({self._url!r})"


class _Staying(urllib.request.HTTPRedirectHandler):
    """A key goes where it was meant to go."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class _Change(msgspec.Struct):
    action: str
    kind: str
    name: str
    before: msgspec.Raw = msgspec.Raw()
    after: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    revision: int
    changes: list[_Change]
    warnings: list[str]
    unchanged: int = 0


class _Quotas(msgspec.Struct):
    accounts: list[dict[str, Any]]


class _Refusal(msgspec.Struct):
    detail: str
    code: str = "invalid_request"
    param: str | None = None


def _key(file: Path | None, env: Mapping[str, str]) -> str:
    """--key-file, else ``OMNIROUTE_MANAGEMENT_KEY``, else the content of ``OMNIROUTE_MANAGEMENT_KEY_FILE``."""
    if file is None and (given := env.get(KEY, "").strip()):
        return given
    path = file or (Path(name) if (name := env.get(KEY_FILE, "").strip()) else None)
    if path is None:
        return ""
    key = _text(path)
    if not key:
        raise CannotStart(f"there is no key in {path}", "It holds the key on one line, readable by this user")
    return key


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
