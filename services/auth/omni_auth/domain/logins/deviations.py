"""What no data can say of a login: one named function each."""

from collections.abc import Callable, Generator
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from omni_catalogue.logins import Login

from omni_auth.domain.logins import reading
from omni_auth.domain.logins.calls import Asked, get, post_json
from omni_auth.domain.logins.tokens import LoginRefused, LoginUnreadable, Tokens

_ONBOARDINGS = 10


class Answer(Protocol):
    """As ``steps.Answered``."""

    @property
    def status(self) -> int: ...

    def document(self) -> reading.Document: ...


Following = Generator[Asked, Any, Tokens]
Follow = Callable[[Login, Tokens, int], Following]


def _with(tokens: Tokens, ends: int = 0, **facts: str) -> Tokens:
    known = {name: fact for name, fact in facts.items() if fact}
    return msgspec.structs.replace(tokens, facts={**tokens.facts, **known}, follow_expires=ends)


def copilot_token(login: Login, tokens: Tokens, now_ms: int) -> Following:
    """GitHub's token is only good for another, short-lived one, which is what Copilot takes."""
    answer: Answer = yield get(
        login.follow_url,
        f"token {tokens.access}",
        **{name.replace("-", "_"): value for name, value in login.use.headers.items()},
    )
    if answer.status in (401, 404):
        raise LoginRefused(f"GitHub does not take the token any more (HTTP {answer.status})", "invalid_grant")
    if answer.status == 403:
        raise LoginRefused("this GitHub account has no Copilot", "access_denied")
    found = answer.document()
    token = reading.token(found, ("token",))
    if not token:
        raise LoginUnreadable("its answer has no token for Copilot")
    return _with(
        tokens,
        reading.moment(found.get("expires_at")),
        copilot_token=token,
        api=reading.word(found, ("endpoints", "api")),
    )


def iflow_key(login: Login, tokens: Tokens, now_ms: int) -> Following:
    """Requests carry an API key, which the account's page gives to whoever is logged in."""
    answer: Answer = yield get(f"{login.follow_url}?accessToken={quote(tokens.access, safe='')}", "")
    key = reading.token(answer.document(), ("data", "apiKey"))
    if not key:
        raise LoginUnreadable("its answer has no apiKey")
    return _with(tokens, api_key=key)


_METADATA = {"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"}


def cloudcode_project(login: Login, tokens: Tokens, now_ms: int) -> Following:
    """The project that Google books an account's use to. Once known it stays."""
    if tokens.facts.get("project"):
        return tokens
    found = yield from _load(login, tokens)
    if project := _project(found):
        return _with(tokens, project=project)
    raise LoginRefused("Google names no project for this account: use Gemini CLI once with it, or set project")


def cloudcode_onboarded(login: Login, tokens: Tokens, now_ms: int) -> Following:
    """As ``cloudcode_project``, for an account that has to be taken in first."""
    if tokens.facts.get("project"):
        return tokens
    found = yield from _load(login, tokens)
    project = _project(found)
    tiers = found.get("allowedTiers")
    default = (
        [tier for tier in tiers if isinstance(tier, dict) and tier.get("isDefault")] if isinstance(tiers, list) else []
    )
    body = {"tierId": reading.word(default[0], ("id",)) if default else "free-tier", "metadata": _METADATA}
    for _ in range(_ONBOARDINGS if not project else 0):
        answer: Answer = yield post_json(f"{login.follow_url}/v1internal:onboardUser", f"Bearer {tokens.access}", body)
        found = answer.document()
        if found.get("done") is True:
            project = _project(found.get("response"))
            break
    if not project:
        raise LoginUnreadable("Google has not taken the account in yet; try again in a minute")
    return _with(tokens, project=project)


def _load(login: Login, tokens: Tokens) -> Generator[Asked, Any, reading.Document]:
    answer: Answer = yield post_json(
        f"{login.follow_url}/v1internal:loadCodeAssist", f"Bearer {tokens.access}", {"metadata": _METADATA}
    )
    return answer.document()


def _project(found: object) -> str:
    return reading.word(found, ("cloudaicompanionProject",)) or reading.word(found, ("cloudaicompanionProject", "id"))


def kiro_profile(login: Login, tokens: Tokens, now_ms: int) -> Following:
    """The profile that Kiro wants to be told. A Builder ID may have none; then none is said."""
    if tokens.facts.get("profile_arn"):
        return tokens
    answer: Answer = yield post_json(
        login.follow_url,
        f"Bearer {tokens.access}",
        {"maxResults": 10},
        x_amz_target="AmazonCodeWhispererService.ListAvailableProfiles",
    )
    if answer.status in (400, 403, 404):
        return tokens
    profiles = answer.document().get("profiles")
    found = [reading.word(each, ("arn",)) for each in profiles] if isinstance(profiles, list) else []
    return _with(tokens, profile_arn=next((arn for arn in found if arn), ""))


FOLLOWS: dict[str, Follow] = {
    "copilot_token": copilot_token,
    "iflow_key": iflow_key,
    "cloudcode_project": cloudcode_project,
    "cloudcode_onboarded": cloudcode_onboarded,
    "kiro_profile": kiro_profile,
}


class Dialect(msgspec.Struct, frozen=True):
    """Another way to ask whether somebody has said yes: the call, made of the device's code, and whether a status means
    that nobody has answered yet. Raises ``LoginRefused`` for one that means no."""

    asked: Callable[[Login, str], Asked]
    pending: Callable[[int], bool]


def kilo_asked(login: Login, code: str) -> Asked:
    url = login.device.url if login.device is not None else ""
    return get(f"{url}/{quote(code, safe='')}", "")


def kilo_pending(status: int) -> bool:
    if status == 403:
        raise LoginRefused("the login was refused there", "access_denied")
    if status == 410:
        raise LoginRefused("the code is over; begin anew", "expired_token")
    return status == 202


DIALECTS = {"kilo_device": Dialect(kilo_asked, kilo_pending)}
