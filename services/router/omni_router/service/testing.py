"""Connection tests: a call of the cheapest kind through all that an account's calls go through.

Where the format lists models, these are asked for, which costs nothing; else, or where a model is named, one token of
it is. That is admitted and settled as any attempt, of no key but ``INTERNAL``: so it is in the account's usage, and on
nobody's budget.
"""

import random
from urllib.parse import urlsplit

import msgspec
from omni_catalogue.catalogue import Candidate
from omni_catalogue.prices import cost, in_force, version
from omni_catalogue.proxies import Egress
from omni_catalogue.snapshot import Snapshot, Timeouts
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.ports.router import ConnectionTest
from omni_core.ports.translator import EncodeCall, Parties
from omni_ledger import Hold, Refusal, Settlement
from omni_wire.errors import GatewayError, InvalidRequest, ProxyFailed, UpstreamFailed
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_router.domain import provider_call, tested, unsaid, verdict
from omni_router.domain.records import AbortFacts, AttemptRecord, Source
from omni_router.domain.taps import read_answer
from omni_router.ports import Probe, UpstreamRequest
from omni_router.service.credentials import NONE
from omni_router.service.held import Tools
from omni_router.service.refusing import as_error

INTERNAL = "internal"
WITHIN = 20.0  # seconds
_MAX_ANSWER = 256 * 1024
_TTL_MS = 60_000
_ONE_TOKEN = b'{"model":"test","messages":[{"role":"user","content":"Hi"}],"max_tokens":1}'
_GUESS = Usage(input_tokens=8, output_tokens=1, estimated=True)
_TIMES = Timeouts(connect=WITHIN, first_byte=WITHIN, idle=WITHIN, total=WITHIN)


async def account(
    tools: Tools, snapshot: Snapshot, context: CallContext, account_id: str, model: str
) -> ConnectionTest:  # fmt: skip
    """Raises ``InvalidRequest`` (404), ``DependencyUnavailable``."""
    probe = _probe(tools)
    place = _place(snapshot, account_id, model)
    listed = "" if model else provider_call.models_url(place.provider)
    if not listed and place.model.id == "*":
        told = f"{place.provider.id} lists no model to ask one token of: name one"
        raise InvalidRequest(told, param="model")
    began = clock.monotonic()
    asked = "models" if listed else "completion"
    credential = NONE
    asker: _Listing | _OneToken | None = None
    try:
        credential = await tools.credentials.have(context, place.account)
        if listed:
            asker = _Listing(probe, context, place, listed, credential)
        else:
            asker = _OneToken(tools, snapshot, context, place, credential)
        found = await asker.ask()
    except GatewayError as error:
        error.message = unsaid.without(credential.secret, error.message)
        status = asker.status if asker is not None else 0
        return _failed(asked, error, "" if listed else place.model.id, _ms(began), status)
    return await _seen(probe, snapshot, place, found, _ms(began))


async def proxy(tools: Tools, snapshot: Snapshot, name: str) -> ConnectionTest:
    """Raises ``InvalidRequest`` (404)."""
    probe = _probe(tools)
    found = next((each for each in snapshot.proxies if each.name == name), None)
    if found is None:
        raise InvalidRequest(f"there is no proxy '{name}'", status=404, code="not_found", param="name")
    began, asked = clock.monotonic(), "echo" if snapshot.echo_url else "tunnel"
    try:
        if snapshot.echo_url:
            answer = await probe.get(snapshot.echo_url, {}, (Egress(proxy=found),), allow_private=False, within=WITHIN)
            if answer.status != 200:
                raise UpstreamFailed(f"the tunnel opened, and {snapshot.echo_url} answered {answer.status}")
            seen = tested.address_in(answer.body)
            told = f"calls come from {seen}" if seen else "the tunnel opened; the echo told no address"
            return ConnectionTest(True, asked, told, answer.status, _ms(began), proxy=name, egress=seen)
        host, port, private = _anybody(snapshot)
        await probe.tunnel(found, host, port, allow_private=private, within=WITHIN)
        told = f"a tunnel to {host} opened; outbound.echo_url would tell from which address calls come"
        return ConnectionTest(True, asked, told, latency_ms=_ms(began), proxy=name)
    except GatewayError as error:
        return _failed(asked, error, latency_ms=_ms(began))


def _failed(asked: str, error: GatewayError, model: str = "", latency_ms: int = 0, status: int = 0) -> ConnectionTest:
    """``error`` is what a client would get, without anything secret in it."""
    return ConnectionTest(
        ok=False,
        asked=asked,
        message=tested.advice(asked, error, model),
        status=status,
        latency_ms=latency_ms,
        code=error.code,
        model=model,
        proxy=error.proxy if isinstance(error, ProxyFailed) else "",
        level=error.level if isinstance(error, ProxyFailed) else "",
    )


def _probe(tools: Tools) -> Probe:
    if tools.probe is None:
        raise InvalidRequest("this router makes no connection tests", status=404, code="not_found")
    return tools.probe


def _place(snapshot: Snapshot, account_id: str, model: str) -> Candidate:
    for provider in snapshot.providers:
        for each in provider.accounts:
            if each.id == account_id:
                names = [one.id for one in provider.models if one.id != "*"]
                found = provider.model(model or (names[0] if names else "*"))
                if found is None:
                    told = f"{provider.id} has no model '{model}'"
                    raise InvalidRequest(told, status=404, code="not_found", param="model")
                return Candidate(provider, found, each)
    told = f"there is no account '{account_id}' that is on"
    raise InvalidRequest(told, status=404, code="not_found", param="account")


def _anybody(snapshot: Snapshot) -> tuple[str, int, bool]:
    """Whom a tunnel may lead to: the first provider. Raises ``InvalidRequest``."""
    if not snapshot.providers:
        raise InvalidRequest("there is nobody to open a tunnel to: configure outbound.echo_url or a provider")
    provider = snapshot.providers[0]
    url = urlsplit(provider.base_url)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80), provider.allow_private_address


def _ms(began: float) -> int:
    return int((clock.monotonic() - began) * 1000)


def _headers(
    context: CallContext, place: Candidate, credential: Credential, url: str, body: bytes, stream: bool
) -> dict[str, str]:
    return provider_call.headers(
        place.provider,
        credential.secret,
        provider_call.fixed_headers(place.provider, stream=stream),
        request_id=context.request_id,
        traceparent=context.traceparent,
        call=provider_call.Call(url, body, clock.now_ms() // 1000, place.account),
        own=credential.headers,
    )


class _Listing:
    """The provider's list of models. ``status`` is the HTTP status that came, 0 before."""

    def __init__(self, probe: Probe, context: CallContext, place: Candidate, url: str, credential: Credential) -> None:
        self._probe, self._place = probe, place
        self._url = provider_call.at(url, place.provider, credential.base_url)
        self._headers = _headers(context, place, credential, self._url, b"", False)
        del self._headers["content-type"]
        self.status = 0

    async def ask(self) -> ConnectionTest:
        """Raises ``GatewayError``."""
        provider, account = self._place.provider, self._place.account
        found = await self._probe.get(
            self._url, self._headers, account.egress, allow_private=provider.allow_private_address, within=WITHIN
        )
        self.status = found.status
        if 300 <= found.status < 400:
            raise UpstreamFailed(f"it answered status {found.status}, a redirect, which is not followed")
        if found.status != 200:
            raise verdict.from_status(found.status, found.headers, found.body, clock.now_ms() / 1000)
        return _good("models", found.status, found.way, "the provider takes the key and lists its models")


def _good(asked: str, status: int, way: Egress | None, message: str, model: str = "") -> ConnectionTest:
    proxy, level = _way_of(way)
    return ConnectionTest(True, asked, message, status, model=model, proxy=proxy, level=level)


def _way_of(way: Egress | None) -> tuple[str, str]:
    """The proxy's name, and whose word it was."""
    return (way.proxy.name, way.level) if way is not None and way.proxy is not None else ("", "")


async def _seen(
    probe: Probe, snapshot: Snapshot, place: Candidate, found: ConnectionTest, latency_ms: int
) -> ConnectionTest:
    """With the address that its calls come from, where somebody tells it."""
    egress = ""
    if snapshot.echo_url:
        try:
            answer = await probe.get(
                snapshot.echo_url, {}, place.account.egress, allow_private=False, within=WITHIN / 4
            )
            egress = tested.address_in(answer.body) if answer.status == 200 else ""
        except GatewayError:
            egress = ""  # the account is well all the same
    return msgspec.structs.replace(found, egress=egress, latency_ms=latency_ms)


class _OneToken:
    """A completion of one token, admitted and settled. ``status`` as a listing's."""

    def __init__(
        self, tools: Tools, snapshot: Snapshot, context: CallContext, place: Candidate, credential: Credential
    ) -> None:
        self._tools, self._snapshot, self._context, self._place = tools, snapshot, context, place
        self._credential = credential
        self._id, self._event_id = new_id(), new_id()
        self._started_ms, self._began = clock.now_ms(), clock.monotonic()
        self._row = in_force(place.model.pays(place.account.id, "default"), self._started_ms)
        self._way: Egress | None = None
        self.status = 0
        self._source = Source(
            key_id=INTERNAL,
            model_requested=f"{place.provider.id}/{place.model.id}",
            combo="",
            config_revision=snapshot.revision,
            router_id=tools.router_id,
            provider=place.provider.id,
            account_id=place.account.id,
            model=place.model.id,
            provider_format=place.provider.format.value,
            pricing="priced" if self._row is not None else "unpriced",
            price_version=version(self._row) if self._row is not None else "",
        )

    async def ask(self) -> ConnectionTest:
        """Raises ``GatewayError``; whatever becomes of it is settled."""
        await self._admit()
        usage, error = Usage(), None
        try:
            usage = await self._call()
        except GatewayError as failure:
            error = failure
            raise
        except BaseException:
            usage = _GUESS  # it may have been asked, and then is billed
            raise
        finally:
            self._settle(usage, error)
        told = "the provider takes the key and answers"
        return _good("completion", self.status, self._way, told, self._place.model.id)

    async def _admit(self) -> None:
        tools, place = self._tools, self._place
        facts = AbortFacts(
            self._id, self._event_id, self._context.request_id, self._started_ms, self._started_ms, self._source,
            WireFormat.OPENAI_CHAT.value, False, 1,
        )  # fmt: skip
        outcome = await tools.ledger.admit(
            Hold(
                attempt_id=self._id,
                request_id=self._event_id,
                key_id=INTERNAL,
                account_id=place.account.id,
                count_request=False,
                requests_per_minute=0,
                budget=None,
                wanted_output=0,
                breaker=None,  # a test goes where nobody else may go for now
                ttl_ms=_TTL_MS,
                router_id=tools.router_id,
                abort_events=tools.events.aborted(facts)[:1],
                secret=place.account.secret_version,
            )
        )
        if isinstance(outcome, Refusal):
            raise as_error(outcome, ())

    async def _call(self) -> Usage:
        tools, place = self._tools, self._place
        provider, account = place.provider, place.account
        stream = provider_call.asks_stream(provider, place.model, False)
        project = account.project or self._credential.project
        encoded = await tools.translator.encode_request(
            EncodeCall(
                context=self._context,
                client_format=WireFormat.OPENAI_CHAT,
                provider_format=provider.format,
                body=_ONE_TOKEN,
                model=place.model.id,
                max_output=1 if provider_call.takes_limit(provider) else 0,
                stream=stream,
                parties=Parties("", provider.id, account.id, place.model.id, project, account.identity),
            )
        )
        url = provider_call.url(provider, place.model.id, stream=stream)
        url = provider_call.at(url, provider, self._credential.base_url)
        answer = await tools.upstream.send(
            UpstreamRequest(
                url=url,
                headers=_headers(self._context, place, self._credential, url, encoded.body, stream),
                body=encoded.body,
                allow_private=provider.allow_private_address,
                timeouts=_TIMES,
                begin_within=WITHIN,
                end_within=WITHIN,
                egress=place.account.egress,
            )
        )
        try:
            self.status, self._way = answer.status, answer.way
            told = await answer.read(_MAX_ANSWER)
        finally:
            answer.close()
        if answer.status != 200:
            if answer.status in (401, 403):
                tools.credentials.forget(place.account.id)
            raise verdict.from_status(answer.status, answer.headers, told, clock.now_ms() / 1000)
        if stream:
            return _GUESS
        return read_answer(provider.format, told)[0] or _GUESS

    def _settle(self, usage: Usage, error: GatewayError | None) -> None:
        spent = cost(usage, self._row.price if self._row is not None else None)
        proxy, level = _way_of(self._way)
        if isinstance(error, ProxyFailed):
            proxy, level = error.proxy, error.level
        record = AttemptRecord(
            self._id, self._event_id, 1, self._started_ms, _ms(self._began), -1, self._source,
            "ok" if error is None else "failed", error.kind if error is not None else "", self.status,
            usage, spent, 0, False, proxy, level,
        )  # fmt: skip
        self._tools.ledger.settle_soon(
            Settlement(
                attempt_id=self._id,
                cost_nano_usd=spent,
                breaker=None,
                events=(self._tools.events.attempt(record),),
                router_id=self._tools.router_id,
                evidence=(),
                secret=self._place.account.secret_version,
                jitter=random.random(),
                tokens=usage.input_tokens + usage.output_tokens,
                used=(usage.input_tokens, usage.output_tokens),
            )
        )
