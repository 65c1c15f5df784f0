"""Every route, asked by every kind of caller, against ``access_table``."""

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI
from omni_catalogue.scopes import AREAS
from omni_core.ports.auth import NewKey
from omni_core.ports.configuration import Caller
from omni_dashboard.domain import browsers
from omni_edge.domain import surfaces
from starlette.routing import Route

from tests.security import access_table
from tests.security.access_table import Line
from tests.security.world import GUEST, PLATFORM, World, world

MODEL = "acme/sim"
# Callers of the table who are not called what their key in the world is.
_KEYS = {
    "gdeveloper": "guest developer", "greader": "guest reader", "gadmin": "guest admin", "guest": "guest developer",
}  # fmt: skip
# By the word in a path: what an object of a kind is called, after a free word, and what a document of it is.
OBJECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "organisations": ("WORD", {}),
    "teams": ("WORD", {"title": "Team"}),
    "users": ("WORD@example.org", {"title": "User"}),
    "memberships": ("team/WORD@example.org", {"role": "lead"}),
    "request-tags": ("WORD", {}),
    "providers": ("WORD", {"format": "openai.chat", "base_url": "https://WORD.example/v1"}),
    "accounts": ("held/WORD", {"api_key": "none"}),
    "combos": ("WORD", {"targets": [MODEL]}),
    "aliases": ("WORD", {"target": MODEL}),
    "proxies": ("WORD", {"url": "http://proxy.example.com:3128"}),
    "prices": ("*/WORD", {"input": 1, "output": 2}),
    "settings": ("settings", {"routing": {"retries": 1}}),
    "limits": ("WORD", {"requests_per_minute": 1}),
}
# Of log-in and one's own account: bodies that are refused before anybody is logged in or out.
BODIES: dict[str, Any] = {
    "/api/session": {}, "/api/session/look": {}, "/api/session/redeem": {}, "/api/session/oidc/{id}": None,
    "/api/session/oidc/callback": None, "/api/account/sessions": None, "/api/account/sessions/end": {"only": "none"},
    "/api/account/password": {}, "/api/account/totp": None, "/api/account/totp/confirm": {},
    "/api/account/totp/remove": {},
}  # fmt: skip
_words = count(1)


def _word() -> str:
    """One that nothing else has in it."""
    return f"w{next(_words)}w"


def _document(kind: str, name: str) -> dict[str, Any]:
    pattern, document = OBJECTS[kind]
    at = pattern.index("WORD") if "WORD" in pattern else 0
    word = name[at : len(name) - len(pattern) + at + len("WORD")]
    filled: dict[str, Any] = json.loads(json.dumps(document).replace("WORD", word))
    return filled


async def of_every_route(home: Path, seed: int, kinds: tuple[str, ...] = tuple(OBJECTS)) -> dict[str, Any]:
    """Of the objects of the configuration only those of ``kinds``. ``seed`` changes nothing: there is no chance."""
    async with world(home) as made:
        wrong = [*undeclared(made)]
        walk = Walk(made)
        async with made.client("edge") as client:
            for line in access_table.edge():
                await walk.surface(client, line)
        async with made.client("dashboard") as client:
            await walk.furnish()
            for line in (*access_table.management(), *access_table.people()):
                if (kind := line.route.split("/")[2:3]) and (kind[0] in kinds or kind[0] not in OBJECTS):
                    await walk.management(client, line)
    wrong += walk.wrong
    return {
        "routes": len(routes_of(made)), "asked": walk.asked, "compared_with_nothing": walk.compared,
        "not_as_declared": len(wrong), "first": wrong[:10], "pass": not wrong,
    }  # fmt: skip


# ---- the routes that there are ---------------------------------------------------------------------------------------


def routes_of(made: World) -> set[tuple[str, str]]:
    """(application, "METHOD /path") of everything that is answered."""
    found = {("edge", f"{method} {path}") for path, one in surfaces.EXACT.items() for method in one.methods}
    found |= {
        ("edge", f"{method} {prefix}{{model}}{suffix}")
        for prefix, suffix, one in surfaces.PATTERNS
        for method in one.methods
    }
    # The edge's pages are behind its surfaces: a page without one is reached by nobody, and is no page.
    return found | {("edge", one) for one in _of(made.pages)} | {("dashboard", one) for one in _of(made.api)}


def _of(app: FastAPI) -> Iterator[str]:
    for route in app.routes:
        assert isinstance(route, Route), f"{route!r} is of a kind that nobody walks"
        for method in route.methods or ():
            yield f"{method} {_path(route.path)}"


def _path(path: str) -> str:
    return path.replace("{model_id:path}", "{model}").replace(":path}", "}")


def undeclared(made: World) -> Iterator[str]:
    """Routes without a line, and lines without a route. What may be read may be asked about: HEAD goes with GET."""
    declared = {("edge", line.route) for line in access_table.edge()}
    declared |= {("dashboard", line.route) for line in access_table.management()}
    there = {(app, route) for app, route in routes_of(made) if not route.startswith("HEAD ")}
    for app, route in sorted(there - declared):
        yield f"{app}: {route} is not in the table"
    for app, route in sorted(declared - there):
        yield f"{app}: {route} is in the table and is not there"


# ---- asking ----------------------------------------------------------------------------------------------------------


class Walk:
    def __init__(self, made: World) -> None:
        self.made = made
        self.asked = self.compared = 0
        self.wrong: list[str] = []
        self._kept: dict[tuple[str, str], str] = {}

    async def furnish(self) -> None:
        """What objects belong to, in both organisations."""
        for organisation in (PLATFORM, GUEST):
            await self.made.put("teams", "team", {}, organisation)
        await self.made.put("providers", "held", {"format": "openai.chat", "base_url": "https://held.example/v1"})

    async def surface(self, client: httpx.AsyncClient, line: Line) -> None:
        method, _, path = line.route.partition(" ")
        path = path.replace("{model}", MODEL)
        for caller, expected in line.outcomes.items():
            for key in self._keys(caller, line):
                body = {"content": _body(path)} if method == "POST" else {}
                headers = _bearer(key) | {"content-type": "application/json"}
                answer = await client.request(method, path, headers=headers, **body)  # type: ignore[arg-type]
                self._note(line, caller, expected, answer)
                if method == "GET":
                    self._note(line, f"{caller} (HEAD)", expected, await client.head(path, headers=headers))

    async def management(self, client: httpx.AsyncClient, line: Line) -> None:
        method, _, template = line.route.partition(" ")
        for caller, expected in line.outcomes.items():
            own, other = (GUEST, PLATFORM) if caller.startswith("g") else (PLATFORM, GUEST)
            owner = {"own": own, "platform": PLATFORM}.get(line.whose, other)
            for key in self._keys(caller, line):
                used_up = method != "GET" and expected < 300
                path, body = await self._meant(method, template, line.whose, own, owner, used_up=used_up)
                before = self.made.written()
                answer = await self._ask(client, method, path, body, key, owner if line.whose == "asked" else "")
                self._note(line, caller, expected, answer)
                if answer.status_code >= 400 and self.made.written() != before:
                    self.wrong.append(f"{line.route} ({line.whose}) for {caller}: refused, and changed something")
                if line.whose == "named" and (answer.status_code == 404 or (method == "GET" and caller[0] == "g")):
                    await self._compare(client, method, path, body, key, answer)

    async def _compare(
        self, client: httpx.AsyncClient, method: str, path: str, body: Any, key: str, answer: httpx.Response
    ) -> None:
        """Another organisation's thing is answered as one that nobody has."""
        word = next(iter(re.findall(r"w\d+w|api-[0-9a-f]{8}", path)), "")
        if not word:
            return
        self.compared += 1
        nothing = "api-ffffffff" if word.startswith("api-") else _word()
        other = await self._ask(client, method, path.replace(word, nothing), body, key, "")
        if _plain(answer, word) != _plain(other, nothing):
            self.wrong.append(f"{method} {path}: told apart from nothing: {answer.text} / {other.text}")

    async def _meant(
        self, method: str, template: str, whose: str, own: str, owner: str, *, used_up: bool
    ) -> tuple[str, Any]:
        """The path and the body that are about a thing of ``owner``; what is ``used_up`` by that is made anew."""
        if template == "/api/usage" and whose == "named":
            return f"{template}?key={self.made.ids[owner][0]}", None
        if template in ("/api/analytics", "/api/logs", "/api/export") and whose == "named":
            return f"{template}?filter=key:{self.made.ids[owner][0]}", None
        if template == "/api/reports/spend":
            return f"{template}?by=model", None
        if template == "/api/config/apply":
            word = _word()
            return f"{template}?source={word}.yaml", f"combos: [{{name: {word}, targets: [{MODEL}]}}]"
        if template in ("/api/events/dead/redrive", "/api/events/dead/discard"):
            return template, {"ids": ["17"]}
        if template in BODIES:
            return template.replace("{id}", "corp"), BODIES[template] if method != "GET" else None
        if template.startswith("/api/people/"):
            body = {"PATCH": {"role": "viewer"}, "POST": {"what": "password"}}.get(method)
            return template.replace("{id}", await self._thing("people", owner, used_up)), body
        if template == "/api/people" and method == "POST":
            return template, {"name": _word()}
        if template.startswith("/api/requests/{id}"):
            return template.replace("{id}", await self._thing("requests", owner, used_up)), None
        if template == "/api/simulate-route":
            keys = {"own": "", "asked": self.made.ids[owner][0]}
            key = keys[whose] if whose in keys else await self._thing("keys", owner, used_up)
            return template, {"model": MODEL, "key": key}
        if template == "/api/usage/statement":
            return f"{template}?provider=acme&from=0&until=86400000", None
        if template == "/api/usage/reprice":
            return template, {"from_ms": 0, "until_ms": 86_400_000}
        if template.startswith("/api/logins"):
            bodies = {"": {"login": "claude", "accept_terms": "claude-code"}, "/finish": {"callback": "code#state"}}
            path = template.replace("{login}", "codex/nobody").replace("{flow}", "ab")
            tokens = {"login": "cursor", "accept_terms": "cursor", "account": _word(), "tokens": "a-token"}
            said = bodies | {"/import": tokens}
            return path, said.get(template.removeprefix("/api/logins")) if method == "POST" else None
        if "{proxy}" in template:
            return template.replace("{proxy}", "office"), None
        if "{account}" in template:
            return template.replace("{account}", "acme/first"), None
        if template == "/api/keys" and method == "POST":
            return template, {"name": await self._thing("named keys", owner, used_up) if whose == "named" else _word()}
        if template.startswith("/api/keys/"):
            return template.replace("{id}", await self._thing("keys", owner, used_up)), {}
        if "{name}" not in template:
            return template, None
        kind = template.split("/")[2]
        if kind == "organisations" and whose == "own":
            return template.replace("{name}", own), None
        name = await self._thing(kind, owner, used_up)
        if kind == "memberships" and method == "PUT" and whose == "named" and used_up:
            await self.made.put("users", name.partition("/")[2], {}, own)
        return template.replace("{name}", name), _document(kind, name) if method == "PUT" else None

    async def _thing(self, kind: str, owner: str, used_up: bool) -> str:
        """The name, or of a key the id, of one that is there."""
        kept = self._kept.pop((kind, owner), "") or await self._make(kind, owner)
        if not used_up:
            self._kept[kind, owner] = kept
        return kept

    async def _make(self, kind: str, owner: str) -> str:
        word = _word()
        if kind in ("keys", "named keys"):
            made = await self.made.auth.create_key(NewKey(name=word), Caller("t", owner))
            return made.key.id if kind == "keys" else word
        if kind == "people":
            return (await self.made.people.invite(Caller("t", owner), word, "developer")).person.id
        if kind == "requests":
            self.made.analytics.told[word] = self.made.ids[owner]
            return word
        name = OBJECTS[kind][0].replace("WORD", word)
        if kind == "memberships":
            await self.made.put("users", name.partition("/")[2], {}, owner)
        await self.made.put(kind, name, _document(kind, name), owner)
        return name

    async def _ask(
        self, client: httpx.AsyncClient, method: str, path: str, body: Any, key: str, organisation: str
    ) -> httpx.Response:
        headers = _bearer(key)
        if body is not None:
            headers["content-type"] = "application/yaml" if isinstance(body, str) else "application/json"
        content = body.encode() if isinstance(body, str) else msgspec.json.encode(body) if body is not None else None
        params = {"organisation": organisation} if organisation else None
        url = httpx.URL(path)
        return await client.request(
            method, url.copy_merge_params(params) if params else url, headers=headers, content=content
        )

    def _keys(self, caller: str, line: Line) -> tuple[str, ...]:
        keys = self.made.keys
        area = line.area if line.area in AREAS else AREAS[0]
        match caller:
            case "none":
                return ("",)
            case "endpoint":
                return keys[f"endpoint {line.area if line.area != '-' else 'chat'}"]
            case "area":
                return keys[f"area {area}"]
            case "garea":
                return keys[f"guest area {area}"]
            case "others":
                return tuple(keys[f"area {other}"][0] for other in AREAS if other != area)
            case _:
                return keys[_KEYS.get(caller, caller)]

    def _note(self, line: Line, caller: str, expected: int, answer: httpx.Response) -> None:
        self.asked += 1
        if answer.status_code != expected:
            told = f"{answer.status_code} {answer.text[:160]}"
            self.wrong.append(f"{line.route} ({line.whose}) for {caller}: declared {expected}, answered {told}")


def _bearer(key: str) -> dict[str, str]:
    """Also that of a session: its cookie, and what its page sends along."""
    if key.startswith("ors-"):
        proof = {browsers.TOKEN_HEADER: browsers.csrf_token(key), "sec-fetch-site": "same-origin"}
        return {"cookie": f"{browsers.SECURE}={key}"} | proof
    return {"authorization": f"Bearer {key}"} if key else {}


def _body(path: str) -> bytes:
    messages = [{"role": "user", "content": "Hello"}]
    if ":" in path:
        return msgspec.json.encode({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]})
    if path.startswith("/v1/responses"):
        return msgspec.json.encode({"model": MODEL, "input": "Hello"})
    return msgspec.json.encode({"model": MODEL, "messages": messages, "max_tokens": 16, "stream": False})


def _plain(answer: httpx.Response, word: str) -> str:
    """What is told, but for the name that was asked for and the request's id."""
    told = answer.json() if answer.content else {}
    told.pop("request_id", None)
    return f"{answer.status_code} {json.dumps(told)}".replace(word, "…")
