"""A whole gateway that is given distinctive secrets wherever one can be given, is used well and badly, and is searched.

Nowhere may one stand but where it was put: in the files that hold it for the gateway, in the configuration file where
its owner wrote it down, and in the one answer that shows a new key.
"""

import base64
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from omni_auth.adapters.keyring import open_keyring
from omni_auth.domain import compilation, configuration
from omni_catalogue.keyshape import assembled
from omni_core.ports.auth import CreatedKey, Credential, KeyInfo
from omni_core.settings import CoreSettings
from omni_core.signatures import SigningKey

from tests.support.fleet import eventually, fleet
from tests.support.otlp import Collector, collector
from tests.support.stack import running

MESSAGES = [{"role": "user", "content": "Hello"}]
QUIET = 30.0
PROVIDERS = ("gone", "written", "acme", "claude", "sealed")
COMMANDS = ("backup create", "backup list", "audit verify", "audit list", "keys list --json", "vault status", "doctor")


class Secrets:
    """Each by name. ``own`` maps a file to the names of those that stand in it by right."""

    def __init__(self, chance: random.Random) -> None:
        def made() -> str:
            # With what each kind of escaping changes.
            return f'cnry{chance.randbytes(12).hex()}+/"={chance.randbytes(12).hex()}'

        def key(public: str) -> str:
            return assembled(public, chance.randbytes(32))

        pem = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32)).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        self.pem = pem.decode()
        self.named = {
            "provider's, from the environment": made(),
            "provider's, from a file": made(),
            "provider's, from the configuration": made(),
            "provider's, sealed": made(),
            "provider's, sealed later": made(),
            "API key, from the environment": key("c0000001"),
            "API key, from the configuration": key("c0000002"),
            "API key that nobody has": key("c0000003"),
            "API key in a query that nobody has": key("c0000004"),
            "vendor's key in the wrong place": f"sk-{chance.randbytes(24).hex()}",
            "password in an address": f"cnry{chance.randbytes(12).hex()}",
            "secret in a broken configuration": made(),
            "second secret in a broken configuration": made(),
            "service token": chance.randbytes(24).hex(),
            "signing key": "".join(self.pem.splitlines()[1:-1]),
            "vault key": base64.b64encode(chance.randbytes(32)).decode(),
        }
        self.own: dict[str, set[str]] = {}

    def __getitem__(self, name: str) -> str:
        return self.named[name]

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Every text that gives one of them away, with its name."""
        for name, secret in self.named.items():
            raw = secret.encode()
            found = {raw, raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode()}
            found.add(json.dumps(secret)[1:-1].encode())
            for shift in range(3):  # wherever it begins among the threes of bytes
                whole = base64.b64encode(bytes(shift) + raw)
                found |= {part := whole[4 if shift else 0 : -4], part.replace(b"+", b"-").replace(b"/", b"_")}
            yield from ((name, form) for form in found)


class Echo:
    """A provider whose errors say the key that it was given. What it answers is what the model is called."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                key = (self.headers["authorization"] or self.headers["x-api-key"] or "").removeprefix("Bearer ")
                self._say(*_answer(str(body["model"]), key, "messages" in self.path))

            def _say(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


# Those of configurations that were refused: the file is whole again by the time it is searched.
UNWRITTEN = {"secret in a broken configuration", "second secret in a broken configuration"}
MODELS = ("fine", "stream", "401", "403", "400", "500", "text", "encoded", "cut", "event", "middle", "garbage")


def _answer(model: str, key: str, anthropic: bool) -> tuple[int, str, bytes]:
    told = f"Incorrect API key provided: {key}. Authorization: Bearer {key}"
    error = {"error": {"message": told, "type": "invalid_request_error", "param": key, "code": key}}
    events, kind = "text/event-stream", "application/json"
    match model:
        case "401" | "403" | "400" | "500":
            return int(model), kind, json.dumps(error).encode()
        case "text":
            return 401, "text/plain", told.encode()
        case "encoded":
            encoded = f"{base64.b64encode(key.encode()).decode()} {quote(key, safe='')} {key.encode().hex()}"
            return 401, kind, json.dumps({"error": {"message": f"bad key {encoded}"}}).encode()
        case "event":
            return 200, events, b"data: " + json.dumps(error).encode() + b"\n\n"
        case "middle":
            broken = f"data: {json.dumps(_chunk('hi', None))}\n\ndata: {json.dumps(error)}\n\n"
            return 200, events, broken.encode()
        case "garbage":
            return 200, kind, f"<html>{told}</html>".encode()
        case "cut":
            return 200, kind, json.dumps(error).encode()[:-20]
        case "stream":
            return 200, events, f"data: {json.dumps(_chunk('hi', 'stop'))}\n\ndata: [DONE]\n\n".encode()
    if anthropic:
        done = {
            "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": "hi"}],
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
    else:
        message = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        done = {
            "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [message],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }  # fmt: skip
    return 200, kind, json.dumps(done).encode()


def _chunk(text: str, finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


class Place(msgspec.Struct):
    """A gateway that runs: where it is asked, and where what it keeps and says is searched."""

    edge: str
    dashboard: str
    metrics: list[str]
    home: Path
    data_dir: Path
    roots: list[Path]
    traces: Collector
    said: list[tuple[str, bytes]] = []


def of_a_whole_gateway(home: Path, seed: int, shape: str, *, brief: bool = False) -> dict[str, Any]:
    """``shape`` is "all" for one process, with its own Redis and NATS, or "separate" for one a service. ``brief`` does
    less of everything."""
    secrets = Secrets(random.Random(seed))
    with contextlib.ExitStack() as exits:
        provider = Echo()
        exits.callback(provider.close)
        env = _environment(secrets)
        text = _configuration(provider.url, secrets)
        (home / "claude.key").write_text(secrets["provider's, from a file"])
        place = exits.enter_context(_gateway(shape, home, text, env, secrets))
        with httpx.Client(timeout=30, transport=_Heard(place)) as client:
            administer = {"authorization": f"Bearer {secrets['API key, from the environment']}"}
            _administer(client, place, provider.url, administer, secrets)
            _use(client, place, secrets, PROVIDERS[-2:] if brief else PROVIDERS)
            _break(client, place, text, administer, secrets, 2 if brief else 8)
            _commands(place, env, COMMANDS[:1] if brief else COMMANDS)
            eventually(
                lambda: any("attempt" in span.name or span.kind == "CLIENT" for span in place.traces.spans), QUIET
            )
            for url in place.metrics:
                place.said.append((f"{url}/metrics", httpx.get(f"{url}/metrics", timeout=30).content))
            for path in ("/api/usage?group_by=model", "/api/system", "/api/quota", "/api/keys"):
                client.get(place.dashboard + path, headers=administer)
        found, counted = search(secrets, _everything(place, env, text, home))
    return {
        "shape": shape, "secrets": len(secrets.named), "forms": sum(1 for _ in secrets.forms()), **counted,
        "answers": sum(name.startswith("answer") for name, _ in place.said), "found": len(found), "first": found[:10],
        "pass": not found,
    }  # fmt: skip


# ---- a gateway full of secrets ---------------------------------------------------------------------------------------


def _environment(secrets: Secrets) -> dict[str, str]:
    return {
        "ACME_KEY": secrets["provider's, from the environment"],
        "OMNIROUTE_KEY": secrets["API key, from the environment"],
        "OMNIROUTE_SERVICE_TOKEN": secrets["service token"],
        "OMNIROUTE_CONFIG_SIGNING_KEY": secrets.pem,
        "OMNIROUTE_VAULT_KEYS": f"k1:{secrets['vault key']}",
        "OMNIROUTE_LOG_LEVEL": "DEBUG",
    }


def _configuration(base: str, secrets: Secrets) -> str:
    everything = [{"id": "*", "price": {"input": 1, "output": 2}}]

    def provider(name: str, form: str, url: str, source: object) -> dict[str, Any]:
        return {
            "id": name, "format": form, "base_url": url, "allow_private_address": True, "models": everything,
            "accounts": [{"name": "first", "api_key": source}],
        }  # fmt: skip

    value = {"value": secrets["provider's, from the configuration"]}
    return yaml.safe_dump(
        {
            "providers": [
                provider("acme", "openai.chat", f"{base}/v1", {"env": "ACME_KEY"}),
                provider("claude", "anthropic.messages", base, {"file": "claude.key"}),
                provider("written", "openai.chat", f"{base}/v1", value),
                provider("gone", "openai.chat", "http://127.0.0.1:9/v1", value),
            ],
            "keys": [
                {"name": "boss", "secret": {"env": "OMNIROUTE_KEY"}, "role": "admin"},
                {"name": "ci", "secret": {"value": secrets["API key, from the configuration"]}},
            ],
            "routing": {"breaker": "off", "retries": 1},
        }
    )


@contextlib.contextmanager
def _gateway(shape: str, home: Path, text: str, env: dict[str, str], secrets: Secrets) -> Iterator[Place]:
    secrets.own = {
        "omniroute.yaml": {"provider's, from the configuration", "API key, from the configuration"},
        "claude.key": {"provider's, from a file"},
    }
    with collector() as traces:
        env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url}
        if shape == "all":
            with running("all", home, text, env) as stack:
                yield Place(stack.edge, stack.dashboard, [stack.edge], home, stack.data_dir, [home], traces)
            return
        with fleet(home, text, env=env) as made:
            roots = [home, made.redis.dir, made.nats.dir]
            urls = [replica.url for replica in made]
            yield Place(made.edge, made.dashboard, urls, home, made["auth"][0].data_dir, roots, traces)


class _Heard(httpx.BaseTransport):
    """Keeps every answer."""

    def __init__(self, place: Place) -> None:
        self._place, self._inner = place, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        body = answer.read()
        if "x-canary-shown-once" not in request.headers:
            heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
            where = f"answer {answer.status_code} to {request.method} {request.url.path[:80]}"
            self._place.said.append((where, heads.encode() + b"\n\n" + body))
        return answer

    def close(self) -> None:
        self._inner.close()


# ---- what is done with it --------------------------------------------------------------------------------------------


def _administer(client: httpx.Client, place: Place, base: str, headers: dict[str, str], secrets: Secrets) -> None:
    api = f"{place.dashboard}/api"

    def put(path: str, document: dict[str, Any]) -> httpx.Response:
        return client.put(f"{api}/{path}", json=document, headers=headers)

    sealed = {"format": "openai.chat", "base_url": f"{base}/v1", "allow_private_address": True}
    put("providers/sealed", sealed).raise_for_status()
    for name in ("provider's, sealed", "provider's, sealed later"):
        put("accounts/sealed/main", {"api_key": {"value": secrets[name]}}).raise_for_status()
    # Made, rotated, revoked: secrets that only one answer shows.
    once = headers | {"x-canary-shown-once": "yes"}
    for name, path in (("made", "keys"), ("rotated", "keys/made/rotate"), ("revoked", "keys")):
        body = {} if path.endswith("rotate") else {"name": name}
        answer = client.post(f"{api}/{path}", json=body, headers=once).raise_for_status()
        secrets.named[f"API key, {name}"] = answer.json()["secret"]
    client.delete(f"{api}/keys/revoked", headers=headers).raise_for_status()
    # Secrets where none belongs.
    misplaced, password = secrets["vendor's key in the wrong place"], secrets["password in an address"]
    put("accounts/sealed/main", {"api_key": misplaced})
    put("accounts/sealed/main", {"api_key": {"env": misplaced}})
    put("accounts/sealed/main", {"api_key": {"value": [misplaced]}})
    put("accounts/sealed/main", {"api_key": {"vale": misplaced}})
    put("accounts/sealed/main", {"api_key": {"value": misplaced + "\x01"}})
    put("providers/sealed", sealed | {"base_url": f"https://user:{password}@provider.example/v1"})
    put("providers/sealed", sealed | {"base_url": f"https://{password}@provider.example/v1", "api_key": misplaced})
    put("combos/bad", {"targets": ["nothing/there"], "api_key": misplaced})
    client.post(f"{api}/keys", content=f'{{"name": "x", "secret": "{misplaced}"'.encode(), headers=headers)
    client.post(f"{api}/keys", json={"name": "x", "rules": f"api_key: {misplaced}"}, headers=headers)
    broken = (
        f"providers: [{{id: p, accounts: [{{name: a, api_key: {misplaced}}}], base_url: 'https://u:{password}@h'}}]"
    )
    for mode in ("apply", "import"):
        client.post(
            f"{api}/config/apply?source=bad.yaml&mode={mode}", content=broken.encode(),
            headers=headers | {"content-type": "application/yaml"},
        )  # fmt: skip
    for path in ("config/export", "accounts", "accounts/sealed/main", "providers", "keys"):
        client.get(f"{api}/{path}", headers=headers).raise_for_status()


def _use(client: httpx.Client, place: Place, secrets: Secrets, providers: Sequence[str]) -> None:
    key = secrets["API key, from the configuration"]
    bearer = {"authorization": f"Bearer {key}"}

    def chat(model: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        body = {"model": model, "messages": MESSAGES, "max_tokens": 20} | more
        return client.post(f"{place.edge}/v1/chat/completions", json=body, headers=headers)

    eventually(lambda: chat("sealed/fine", bearer).status_code == 200, QUIET)
    for provider in providers:
        for model in MODELS:
            chat(f"{provider}/{model}", bearer, stream=model in ("stream", "event", "middle", "garbage"))
        for path in ("messages", "responses"):
            body = {"model": f"{provider}/401", "messages": MESSAGES, "input": "hi", "max_tokens": 20}
            client.post(f"{place.edge}/v1/{path}", json=body, headers=bearer)
        contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        for model in ("fine", "401"):
            url = f"{place.edge}/v1beta/models/{provider}/{model}:generateContent?key={quote(key)}"
            client.post(url, json=contents)
        client.post(f"{place.edge}/api/chat", json={"model": f"{provider}/401", "messages": MESSAGES}, headers=bearer)
        for model in ("400", "401"):
            counted = {"model": f"{provider}/{model}", "messages": MESSAGES}
            client.post(f"{place.edge}/v1/messages/count_tokens", json=counted, headers=bearer)
    assert chat("acme/fine", bearer).status_code == chat("claude/fine", bearer).status_code == 200
    # Keys that nobody has, and good ones in every place but the right one.
    wrong, asked = secrets["API key that nobody has"], secrets["API key in a query that nobody has"]
    for headers in ({"authorization": f"Bearer {wrong}"}, {"x-api-key": wrong}, {"authorization": f"Basic {wrong}"}):
        chat("acme/fine", headers)
        client.get(f"{place.edge}/v1/models", headers=headers)
        client.get(f"{place.dashboard}/api/keys", headers=headers)
    for found in (asked, key):
        for path in ("/v1beta/models", "/v1/models", "/v1/models/x", "/nothing/there", "/readyz", "/v1/nothing"):
            client.get(f"{place.edge}{path}?key={quote(found)}")
        for path in ("/api/keys", "/api/nothing", "/api/me", "/"):
            client.get(f"{place.dashboard}{path}?key={quote(found)}&api_key={quote(found)}")
    for content in (
        f'{{"model": "acme/fine", "messages": "{key}"}}', f'{{"model": "acme/fine", "api_key": "{key}", "messages": [',
        f'{{"model": {{"{key}": 1}}}}', key, f'{{"model": "acme/fine", "messages": [{{"role": "{key}"}}]}}',
        f'{{"model": "acme/fine", "max_tokens": "{key}", "messages": []}}',
    ):  # fmt: skip
        for path in ("chat/completions", "messages", "responses"):
            headers = bearer | {"content-type": "application/json"}
            client.post(f"{place.edge}/v1/{path}", content=content.encode(), headers=headers)
    for headers in ({"content-type": key}, {"x-request-id": key}, {"traceparent": key}, {"user-agent": key}):
        chat("acme/fine", bearer | headers)


def _break(
    client: httpx.Client, place: Place, text: str, headers: dict[str, str], secrets: Secrets, times: int
) -> None:
    """The configuration file with secrets where they do not belong, until auth has refused it."""
    file, first = place.home / "omniroute.yaml", secrets["secret in a broken configuration"]
    secrets.own["omniroute.yaml"] |= {"secret in a broken configuration", "second secret in a broken configuration"}

    def refused() -> bool:
        answer = client.get(f"{place.dashboard}/api/system", headers=headers)
        return answer.status_code == 200 and bool(answer.json()["config"]["rejected"])

    def spoilt(change: Callable[[dict[str, Any]], None]) -> str:
        tree = yaml.safe_load(text)
        change(tree)
        return str(yaml.safe_dump(tree))

    def account(tree: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = tree["providers"][0]["accounts"][0]
        return found

    second = secrets["second secret in a broken configuration"]
    bad = [
        spoilt(lambda tree: account(tree).update(api_key=first)),
        spoilt(lambda tree: account(tree).update(api_key={"value": first, "file": second})),
        spoilt(lambda tree: account(tree).update(api_key={"value": f"{first}\x07"})),
        spoilt(lambda tree: account(tree).update(api_key=[first], project=second)),
        spoilt(lambda tree: tree["keys"][0].update(secret=first)),
        spoilt(lambda tree: tree.update(keys=first)),
        text + f"\nrouting: {{timeouts: {json.dumps(first)}, retries: {json.dumps(second)}}}\n",
        text + f"\nproviders:\n  - {json.dumps(first)}: [\n",
    ]
    for content in bad[:times]:
        file.write_text(content)
        eventually(refused, QUIET)
        _say(place, "check-config", "check-config", str(file))
        file.write_text(text)
        eventually(lambda: not refused(), QUIET)


def _commands(place: Place, env: dict[str, str], commands: Sequence[str]) -> None:
    """What operators run beside it."""
    for command in commands:
        _say(place, command, *command.split(), "--data-dir", str(place.data_dir), env=env)


def _say(place: Place, name: str, *words: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "omni_launch", *words], capture_output=True, timeout=60, check=False, cwd=place.home,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    place.said.append((f"omniroute {name}", done.stdout + done.stderr))


# ---- searching -------------------------------------------------------------------------------------------------------


def _everything(place: Place, env: dict[str, str], text: str, home: Path) -> Iterator[tuple[str, str, bytes]]:
    """The kind of place, its name, and what is there."""
    for name, content in place.said:
        yield ("metrics" if name.endswith("/metrics") else name.split()[0]), name, content
    for number, raw in enumerate(place.traces.raw):
        yield "traces", f"trace {number}", raw
    for name, shown in _shown(env, text, home):
        yield "repr", name, shown.encode()
    for root in place.roots:
        for file in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
            yield _kind(file), str(file.relative_to(root)), file.read_bytes()


def _kind(file: Path) -> str:
    if file.suffix == ".log":
        return "logs"
    if ".sqlite3" in file.name:
        return "databases"
    if "jetstream" in file.parts:
        return "streams and buckets"
    if "appendonlydir" in file.parts or file.suffix == ".aof":
        return "redis"
    return "backups" if file.suffix == ".backup" else "files"


def _shown(env: dict[str, str], text: str, home: Path) -> Iterator[tuple[str, str]]:
    """What objects that hold secrets say of themselves."""
    core = CoreSettings.from_env(
        env, redis_url="redis://u:p@h", nats_url="nats://h", token=env["OMNIROUTE_SERVICE_TOKEN"]
    )
    found = configuration.load(text, "omniroute.yaml", env, lambda name: (home / name).read_text())
    compiled = compilation.compile_snapshot(found, (), b"pepper")
    info = KeyInfo("i", "n", "admin", ("*",), 0, 0, "month", "api", 0)
    for held in (
        core, core.config_keys, SigningKey.of(core), open_keyring(home, env), found, found.config, compiled,
        *compiled.accounts.values(), *found.config.keys, *found.config.providers, Credential(env["ACME_KEY"], "1"),
        CreatedKey(info, env["OMNIROUTE_KEY"]),
    ):  # fmt: skip
        yield type(held).__name__, f"{held!r} {held}"


def search(secrets: Secrets, places: Iterator[tuple[str, str, bytes]]) -> tuple[list[str], dict[str, Any]]:
    """Where one was found, and what was searched."""
    forms = list(secrets.forms())
    found: list[str] = []
    kinds: dict[str, int] = {}
    size, owned = 0, set[str]()
    for kind, name, content in places:
        kinds[kind] = kinds.get(kind, 0) + 1
        size += len(content)
        allowed = secrets.own.get(name, set())
        there = {secret for secret, form in forms if form in content}
        owned |= there & allowed
        found.extend(f"{secret}: in {kind}, {name}" for secret in sorted(there - allowed))
    if owned != {secret for names in secrets.own.values() for secret in names} - UNWRITTEN:
        found.append(f"the search is blind: of those in their own files it saw only {sorted(owned)}")
    return found, {"places": sum(kinds.values()), "by_kind": kinds, "bytes": size}
