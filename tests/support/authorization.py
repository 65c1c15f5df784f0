"""An authorization server as providers have them, on loopback: authlib's grants with PKCE, devices' codes, rotation of
refresh tokens and, for a while, a grace for one that was rotated already. Everybody who comes to its page is let in.

Beside it stand what providers offer to who has a token: who one is, a second token, usage, and answers that are none.
"""

import base64
import json
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.common.security import generate_token
from authlib.oauth2 import AuthorizationServer as Grants
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    ClientMixin,
    OAuth2Error,
    OAuth2Request,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict

CLIENT, SECRET = "test-client", "test-client-secret"
METHODS = ("none", "client_secret_post", "client_secret_basic")


class Client(ClientMixin):
    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.startswith(("http://localhost:", "http://127.0.0.1:", "https://"))

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in METHODS

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


class Code(AuthorizationCodeMixin):
    def __init__(self, code: str, request: OAuth2Request) -> None:
        data = request.payload.data
        self.code, self.user = code, request.user
        self.redirect_uri, self.scope = data.get("redirect_uri"), data.get("scope", "")
        self.code_challenge = data.get("code_challenge")
        self.code_challenge_method = data.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


class Token(TokenMixin):
    """``replaced`` is when its refresh token was rotated (monotonic), 0 for never."""

    def __init__(self, said: dict[str, Any], user: str) -> None:
        self.said, self.user = said, user
        self.ends = time.monotonic() + said["expires_in"]
        self.replaced = 0.0

    def check_client(self, client: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return str(self.said.get("scope", ""))

    def get_expires_in(self) -> int:
        return int(self.said["expires_in"])

    def is_expired(self) -> bool:
        return time.monotonic() > self.ends

    def is_revoked(self) -> bool:
        return False


class Server(Grants):
    """``user`` is who comes to the page next. ``lives`` (s) is how long an access token does, and ``grace`` (s) how
    long a rotated refresh token is taken again, -1 for ever. ``spoil`` is what is answered in the place of tokens:
    "html", "huge", "error", "issuer", or "" for nothing. ``hold`` keeps answers to refreshes back while it is not set.
    ``behind`` is the URL of what a good token opens."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.grace, self.lives, self.spoil = "ann", 60.0, 3600, ""
        self.plan = "plus"
        self.issuer = self.behind = ""
        self.codes: dict[str, Code] = {}
        self.tokens: list[Token] = []
        self.devices: dict[str, DeviceCredentialDict] = {}
        self.device_grants: dict[str, tuple[str, bool]] = {}
        self.slow: set[str] = set()
        self.revoked: set[str] = set()
        self.seen: dict[str, int] = defaultdict(int)
        self.used: list[str] = []
        self.hold = threading.Event()
        self.hold.set()
        self.lock = threading.Lock()
        self.register_token_generator("default", self._generate)
        self.register_grant(_Codes, [CodeChallenge(required=False)])
        self.register_grant(_Refreshes)
        self.register_grant(_Devices)
        self.register_endpoint(_DeviceCodes)

    def query_client(self, client_id: str) -> Client | None:
        return Client() if client_id == CLIENT else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        self.tokens.append(Token(token, str(request.user)))

    def create_oauth2_request(self, request: "Asked | OAuth2Request") -> OAuth2Request:
        if isinstance(request, OAuth2Request):
            return request
        made = _Request(request)
        made.payload = BasicOAuth2Payload(request.data)
        return made

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        return status, body, headers

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def _generate(self, **about: Any) -> dict[str, Any]:
        user, now = str(about["user"]), int(time.time())
        issuer = "https://elsewhere.example" if self.spoil == "issuer" else self.issuer
        claims = {
            "iss": issuer,
            "aud": CLIENT,
            "sub": user,
            "email": f"{user}@example.com",
            "exp": now + 3600,
            "https://api.openai.com/auth": {"chatgpt_account_id": f"acct-{user}", "chatgpt_plan_type": self.plan},
        }
        return {
            "token_type": "Bearer",
            "access_token": f"at-{user}-{generate_token(24)}",
            "refresh_token": f"rt-{user}-{generate_token(24)}",
            "expires_in": self.lives,
            "scope": about.get("scope") or "",
            "id_token": jwt(claims),
            "account": {"uuid": f"acct-{user}", "email_address": f"{user}@example.com"},
        }

    def is_live(self, access: str) -> bool:
        return access not in self.revoked and any(
            token.said["access_token"] == access and not token.is_expired() for token in self.tokens
        )

    def revoke(self, *, refresh: bool = False) -> None:
        """Every access token that there is and, so that there is no way back, every refresh token."""
        self.revoked |= {token.said["access_token"] for token in self.tokens}
        if refresh:
            self.revoked |= {token.said["refresh_token"] for token in self.tokens}

    def until_asked(self, before: int, within: float) -> None:
        """Wait until more than ``before`` refreshes were asked for. Raises ``TimeoutError``."""
        until = time.monotonic() + within
        while self.seen["refresh_token"] <= before:
            if time.monotonic() > until:
                raise TimeoutError("nobody asked for a refresh")
            time.sleep(0.02)

    def approve(self, user_code: str, *, yes: bool = True) -> None:
        self.device_grants[user_code] = (self.user, yes)


def jwt(claims: dict[str, Any]) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "c2lnbmF0dXJl"])


class Asked:
    def __init__(self, method: str, path: str, headers: dict[str, str], data: dict[str, str]) -> None:
        self.method, self.path, self.headers, self.data = method, path, headers, data


class _Request(OAuth2Request):
    def __init__(self, asked: Asked) -> None:
        super().__init__(asked.method, f"https://provider.example{asked.path}", headers=asked.headers)
        self._asked = asked

    @property
    def args(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self._asked.path).query))

    @property
    def form(self) -> dict[str, str]:
        return self._asked.data


class _Codes(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        self.server.codes[code] = Code(code, request)

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return self.server.codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        self.server.codes.pop(authorization_code.code, None)

    def authenticate_user(self, authorization_code: Code) -> str:
        return authorization_code.user


class _Refreshes(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        server: Server = self.server
        for token in server.tokens:
            if token.said["refresh_token"] == refresh_token and refresh_token not in server.revoked:
                again = token.replaced and server.grace >= 0 and time.monotonic() - token.replaced > server.grace
                return None if again else token
        return None

    def authenticate_user(self, refresh_token: Token) -> str:
        return refresh_token.user

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.replaced = refresh_token.replaced or time.monotonic()


class _Devices(DeviceCodeGrant):
    def query_device_credential(self, device_code: str) -> DeviceCredentialDict | None:
        return self.server.devices.get(device_code)

    def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
        return self.server.device_grants.get(user_code)

    def should_slow_down(self, credential: DeviceCredentialDict) -> bool:
        code = credential["device_code"]
        slow = code in self.server.slow
        self.server.slow.discard(code)
        return slow


class _DeviceCodes(DeviceAuthorizationEndpoint):
    INTERVAL = 1

    def get_verification_uri(self) -> str:
        return "https://provider.example/device"

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
        found = {**data, "client_id": client_id, "scope": scope or "", "expires_at": int(time.time()) + 1800}
        self.server.devices[data["device_code"]] = DeviceCredentialDict(found)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    oauth: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        oauth, path = self.oauth, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with oauth.lock:
            oauth.seen[path] += 1
        bearer = (self.headers.get("authorization") or "").rpartition(" ")[2]
        if path == "/token":
            self._token(body)
        elif path == "/device":
            data = dict(parse_qsl(body.decode()))
            with oauth.lock:
                status, said, _ = oauth.create_endpoint_response(
                    "device_authorization", Asked("POST", self.path, {}, data)
                )
            self._say(status, said)
        elif path == "/userinfo":
            user = next((token.user for token in oauth.tokens if token.said["access_token"] == bearer), "")
            self._say(200, {"id": f"id-{user}", "email": f"{user}@example.com", "login": user}) if user else self._say(
                401, {"error": "invalid_token"}
            )
        elif path == "/second":
            live = oauth.is_live(bearer)
            ends = int(time.time()) + oauth.lives
            self._say(200, {"token": f"second-{generate_token(20)}", "expires_at": ends}) if live else self._say(
                401, {}
            )
        elif path == "/v1internal:loadCodeAssist":
            self._say(200, {"cloudaicompanionProject": "project-of-ann"})
        elif oauth.behind:
            self._front(method, bearer, body)
        else:
            self._say(404, {})

    def _front(self, method: str, bearer: str, body: bytes) -> None:
        """What is behind, for who has a token that is good."""
        oauth = self.oauth
        if not oauth.is_live(bearer):
            self._say(401, {"error": {"message": "the token is not good", "type": "authentication_error"}})
            return
        with oauth.lock:
            oauth.used.append(bearer)
        kept = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "accept")}
        user = next(token.user for token in oauth.tokens if token.said["access_token"] == bearer)
        headers = {**kept, "authorization": f"Bearer plan-of-{user}"}  # which is a person's, whatever the token
        asked = urllib.request.Request(oauth.behind + self.path, body or None, headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            self._raw(answer.status, answer.read(), answer.headers.get("content-type", ""))

    def _token(self, body: bytes) -> None:
        oauth = self.oauth
        if self.headers.get("content-type", "").startswith("application/json"):
            data = {name: str(value) for name, value in json.loads(body).items()}
        else:
            data = dict(parse_qsl(body.decode()))
        with oauth.lock:
            oauth.seen[data.get("grant_type", "")] += 1
        if oauth.spoil == "html":
            return self._raw(200, b"<html><body>Just a moment...</body></html>", "text/html")
        if oauth.spoil == "huge":
            return self._raw(200, b'{"access_token": "' + b"a" * 3_000_000 + b'"}', "application/json")
        if oauth.spoil == "error":
            return self._say(500, {"error": {"message": "internal", "type": "server_error"}})
        asked = Asked("POST", self.path, {k.title(): v for k, v in self.headers.items()}, data)
        with oauth.lock:
            status, said, _ = oauth.create_token_response(asked)
        if data.get("grant_type") == "refresh_token":
            oauth.hold.wait(30)
        return self._say(status, said)

    def _say(self, status: int, said: Any) -> None:
        self._raw(status, json.dumps(said).encode(), "application/json")

    def _raw(self, status: int, body: bytes, kind: str) -> None:
        try:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # whoever asked is gone, which is what some tests are about
            self.close_connection = True


class Provider:
    """The server at its address, and a person's browser."""

    def __init__(self, oauth: Server, url: str) -> None:
        self.oauth, self.url = oauth, url

    def browse(self, url: str, *, error: str = "") -> str:
        """Let the person of ``oauth.user`` in at the page; the address that the browser ends at."""
        asked = dict(parse_qsl(urlsplit(url).query))
        if error:
            return f"{asked['redirect_uri']}?{urlencode({'error': error, 'state': asked['state']})}"
        parts = urlsplit(url)
        request = self.oauth.create_oauth2_request(Asked("GET", f"{parts.path}?{parts.query}", {}, asked))
        with self.oauth.lock:
            try:
                grant = self.oauth.get_consent_grant(request, end_user=self.oauth.user)
                _, _, headers = self.oauth.create_authorization_response(
                    request, grant_user=self.oauth.user, grant=grant
                )
            except OAuth2Error as refused:  # pragma: no cover - a test that asks for what nobody gives
                raise AssertionError(refused.description) from refused
        return str(dict(headers)["Location"])

    def overrides(self, port: int = 1455) -> str:
        """The TOML that leads logins here; Codex' goes back to ``port``."""
        return f"""
[codex]
allow_private_address = true
client = {{ id = "{CLIENT}" }}
lead = 60
authorize = {{ url = "{self.url}/authorize", port = {port} }}
token = {{ url = "{self.url}/token" }}
identity = {{ issuer = "{self.url}" }}
[claude-code]
allow_private_address = true
client = {{ id = "{CLIENT}" }}
authorize = {{ url = "{self.url}/authorize" }}
token = {{ url = "{self.url}/token" }}
[qwen]
allow_private_address = true
client = {{ id = "{CLIENT}" }}
device = {{ url = "{self.url}/device" }}
token = {{ url = "{self.url}/token" }}
[copilot]
allow_private_address = true
client = {{ id = "{CLIENT}" }}
device = {{ url = "{self.url}/device" }}
token = {{ url = "{self.url}/token" }}
identity = {{ userinfo = "{self.url}/userinfo" }}
follow_url = "{self.url}/second"
[gemini-cli]
allow_private_address = true
client = {{ id = "{CLIENT}" }}
authorize = {{ url = "{self.url}/authorize" }}
token = {{ url = "{self.url}/token" }}
identity = {{ issuer = "{self.url}", userinfo = "{self.url}/userinfo" }}
follow_url = "{self.url}"
"""


@contextmanager
def provider() -> Iterator[Provider]:
    oauth = Server()
    handler = type("Handler", (_Handler,), {"oauth": oauth})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_port}"
    oauth.issuer = url
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Provider(oauth, url)
    finally:
        oauth.hold.set()
        server.shutdown()
        server.server_close()
