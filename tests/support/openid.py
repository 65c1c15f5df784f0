"""A real OpenID provider on a loopback listener: authlib's server, with the code flow and PKCE. What it is to do wrong
is said to it."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.authorization_server import AuthorizationServer
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from authlib.oidc.core.userinfo import UserInfo
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "omniroute-client", "a secret of the client's"


class Client:
    def check_redirect_uri(self, uri: str) -> bool:
        return urlsplit(uri).path == "/api/session/oidc/callback"

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_response_type(self, kind: str) -> bool:
        return kind == "code"

    def check_grant_type(self, kind: str) -> bool:
        return kind == "authorization_code"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_client_secret(self, secret: str) -> bool:
        return secret == SECRET


class Code:
    def __init__(self, **said: Any) -> None:
        self.__dict__.update(said)
        self.auth_time = int(time.time())

    def get_redirect_uri(self) -> str:
        return self.redirect_uri  # type: ignore[attr-defined]

    def get_scope(self) -> str:
        return self.scope  # type: ignore[attr-defined]

    def get_nonce(self) -> str:
        return self.nonce  # type: ignore[attr-defined]

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Provider(AuthorizationServer):
    """``person`` is who is logged in there: claims. ``claims`` go over those of the token."""

    def __init__(self) -> None:
        super().__init__(scopes_supported=["openid", "email", "profile"])
        self.url = ""
        self.key = RSAKey.generate_key(2048, parameters={"kid": "one"})
        self.person: dict[str, Any] = {"sub": "248", "email": "ada@example.org", "email_verified": True}
        self.claims: dict[str, Any] = {}
        self.signs = "RS256"
        self.calls_itself = ""
        self.codes: dict[str, Code] = {}
        self.asked: list[dict[str, str]] = []
        self.register_token_generator("default", BearerTokenGenerator(lambda **_: "access", None, lambda *_: 60))
        self.register_grant(_CodeGrant, [_Said(), CodeChallenge(required=True)])

    def query_client(self, client_id: str) -> Client | None:
        return Client() if client_id == CLIENT else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        return

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        return

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, list[tuple[str, str]]]:
        return status, body, headers

    def rotate(self, kid: str) -> None:
        self.key = RSAKey.generate_key(2048, parameters={"kid": kid})

    def token(self, nonce: str) -> str:
        now = int(time.time())
        said = {"iss": self.calls_itself or self.url, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": nonce}
        said |= self.person | self.claims
        said = {name: value for name, value in said.items() if value is not None}
        if self.signs in ("none", "HS256"):
            head = _part({"alg": self.signs, "kid": self.key.kid}) + b"." + _part(said)
            secret = self.key.as_pem(private=False)  # which everybody has
            signed = hmac.digest(secret, head, "sha256") if self.signs == "HS256" else b""
            return (head + b"." + _base64(signed)).decode()
        return jwt.encode({"alg": self.signs, "kid": self.key.kid}, said, self.key)


def _part(said: dict[str, Any]) -> bytes:
    return _base64(json.dumps(said).encode())


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class _CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic"]

    def save_authorization_code(self, code: str, request: OAuth2Request) -> Code:
        said = request.payload.data
        kept = Code(
            code=code, redirect_uri=said["redirect_uri"], scope=said["scope"], nonce=said.get("nonce", ""),
            code_challenge=said.get("code_challenge"), code_challenge_method=said.get("code_challenge_method"),
        )  # fmt: skip
        self.server.codes[code] = kept
        return kept

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return self.server.codes.get(code)

    def delete_authorization_code(self, code: Code) -> None:
        del self.server.codes[code.code]  # type: ignore[attr-defined]

    def authenticate_user(self, code: Code) -> dict[str, Any]:
        return self.server.person


class _Said(OpenIDCode):
    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        return False

    def get_jwt_config(self, grant: Any) -> dict[str, Any]:
        return {"key": grant.server.key, "alg": "RS256", "iss": grant.server.url, "exp": 60}

    def generate_user_info(self, user: Any, scope: str) -> UserInfo:
        return UserInfo(**user)

    def process_token(self, grant: Any, response: Any) -> dict[str, Any]:
        """As authlib's own, with what is wrong on purpose."""
        token = response if isinstance(response, dict) else response[1]
        token["id_token"] = grant.server.token(grant.request.authorization_code.get_nonce())
        return token


@contextmanager
def openid_provider() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/.well-known/openid-configuration":
                self._json(200, {
                    "issuer": provider.calls_itself or provider.url,
                    "authorization_endpoint": f"{provider.url}/authorize",
                    "token_endpoint": f"{provider.url}/token", "jwks_uri": f"{provider.url}/keys",
                    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                })  # fmt: skip
            elif path == "/keys":
                self._json(200, {"keys": [provider.key.as_dict(private=False)]})
            elif path == "/authorize":
                asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                provider.asked.append(asked)
                request = _request("GET", f"{provider.url}{self.path}", asked, {})
                grant = provider.get_consent_grant(request, provider.person)
                status, body, headers = provider.create_authorization_response(request, provider.person, grant)
                self._answer(status, body, headers)
            else:
                self._json(404, {})

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
            request = _request("POST", f"{provider.url}{self.path}", form, dict(self.headers.items()))
            self._answer(*provider.create_token_response(request))

        def _json(self, status: int, body: Any) -> None:
            self._answer(status, body, [("Content-Type", "application/json")])

        def _answer(self, status: int, body: Any, headers: Any) -> None:
            content = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _request(method: str, url: str, form: dict[str, str], headers: dict[str, str]) -> OAuth2Request:
    request = OAuth2Request(method, url, headers={name.title(): value for name, value in headers.items()})
    request.payload = BasicOAuth2Payload(form)
    request._body = form if method == "POST" else None
    return request


def browse(url: str) -> dict[str, str]:
    """What a browser that is logged in at the provider brings back."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        build_opener(Stay).open(url)
    except HTTPError as answer:
        if answer.status == 302:
            query = urlsplit(answer.headers["location"]).query
            return {name: values[0] for name, values in parse_qs(query).items()}
        raise
    raise AssertionError(f"it sent nobody anywhere: {urlencode({'url': url})}")
