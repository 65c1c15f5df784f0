"""The story of a count: ask the provider if it can count, in its own format, else estimate."""

from collections.abc import Callable, Mapping

from omni_catalogue.catalogue import Candidate, Plan
from omni_catalogue.snapshot import KeyPolicy, Limit, Provider, Timeouts
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.context import CallContext
from omni_core.ports.translator import EncodeCall
from omni_ledger import Hold, Refusal
from omni_wire import loops
from omni_wire.body import Body
from omni_wire.errors import (
    CredentialUnavailable,
    DependencyUnavailable,
    InvalidRequest,
    UpstreamError,
    UpstreamRejected,
    WireError,
)
from omni_wire.formats import WireFormat

from omni_router.domain import allowances, counting, provider_call, unsaid, verdict
from omni_router.ports import UpstreamRequest
from omni_router.service.held import Tools
from omni_router.service.refusing import as_error

# Accounts to ask before the estimate has to do: nobody waits long for a count.
_TRIES = 2
_WITHIN = 10.0  # seconds
_MAX_ANSWER = 64 * 1024
# Nothing is held, so this is only until what counted it is closed.
_TTL_MS = 60_000


async def count(
    tools: Tools,
    context: CallContext,
    plan: Plan,
    client_format: WireFormat,
    body: Body,
    headers: Mapping[str, str],
    timeouts: Callable[[str, Provider], Timeouts],
    guarded: Callable[[Candidate], bool],
) -> int:
    """``timeouts`` gives those of a combo and a provider, ``guarded`` whom a guard keeps from seeing a request as it
    stands, and so from counting it. Raises ``InvalidRequest``, or ``UpstreamRejected`` where the
    provider objects to the request itself."""
    tried = 0
    for candidate in plan.candidates:
        url = provider_call.count_url(candidate.provider, candidate.model.id)
        if not url or guarded(candidate):
            continue
        if tried == _TRIES:
            break
        tried += 1
        own = candidate.provider.format is client_format
        try:
            if own:
                question = counting.question(client_format, body, candidate.model.id)
            else:
                question = await _translated(tools, context, candidate, client_format, body)
            within = timeouts(plan.combo, candidate.provider)
            return await _ask(
                tools, context, candidate, url, question, headers if own else _loop_alone(headers), within
            )
        except UpstreamRejected as error:
            if own and error.status == 400:
                raise
        except WireError as error:
            if own:
                raise InvalidRequest(str(error), param=error.field) from error
        except (UpstreamError, CredentialUnavailable, InvalidRequest, DependencyUnavailable):
            continue  # what the translator says of a request is for when it is made
    return counting.estimate(body)


def _loop_alone(headers: Mapping[str, str]) -> dict[str, str]:
    return {loops.HEADER: headers[loops.HEADER]} if loops.HEADER in headers else {}


async def admit(tools: Tools, policy: KeyPolicy, limits: tuple[Limit, ...]) -> None:
    """Count it towards the requests of its key and of the ``limits`` that this shares: a provider is asked
    as for any other. Raises ``RateLimited``, ``DependencyUnavailable``."""
    now = clock.now_ms() / 1000
    paced = tuple(
        level
        for limit in limits
        if (level := allowances.of_a_request(limit, now)).requests_per_minute or level.allowances
    )
    if not policy.requests_per_minute and not paced:
        return
    held = new_id()
    outcome = await tools.ledger.admit(
        Hold(
            attempt_id=held,
            request_id=held,
            key_id=policy.id,
            account_id="",
            count_request=True,
            requests_per_minute=policy.requests_per_minute,
            budget=None,
            wanted_output=0,
            breaker=None,
            ttl_ms=_TTL_MS,
            router_id=tools.router_id,
            levels=paced,
        )
    )
    if isinstance(outcome, Refusal):
        raise as_error(outcome, limits)
    tools.ledger.release_soon(held, ())


async def _translated(
    tools: Tools, context: CallContext, candidate: Candidate, client_format: WireFormat, body: Body
) -> bytes:
    provider, model = candidate.provider, candidate.model.id
    encoded = await tools.translator.encode_request(
        EncodeCall(
            context=context,
            client_format=client_format,
            provider_format=provider.format,
            body=counting.asked(client_format, body),
            model=model,
            max_output=0,
        )
    )
    return counting.question_of(provider.format, encoded.body, model)


async def _ask(
    tools: Tools,
    context: CallContext,
    candidate: Candidate,
    url: str,
    question: bytes,
    headers: Mapping[str, str],
    timeouts: Timeouts,
) -> int:
    provider, account = candidate.provider, candidate.account
    credential = await tools.credentials.have(context, account)
    answer = await tools.upstream.send(
        UpstreamRequest(
            url=provider_call.at(url, provider, credential.base_url),
            headers=provider_call.headers(
                provider,
                credential.secret,
                provider_call.fixed_headers(provider, stream=False),
                request_id=context.request_id,
                traceparent=context.traceparent,
                client=headers,
                loop=headers.get(loops.HEADER, ""),
                call=provider_call.Call(url, question, clock.now_ms() // 1000, account),
                own=credential.headers,
            ),
            body=question,
            allow_private=provider.allow_private_address,
            timeouts=timeouts,
            begin_within=min(_WITHIN, timeouts.total),
            egress=account.egress,
        )
    )
    try:
        told = await answer.read(_MAX_ANSWER)
        if answer.status != 200:
            if answer.status in (401, 403):
                tools.credentials.forget(account.id)
            refusal = verdict.from_status(answer.status, answer.headers, told, clock.now_ms() / 1000)
            refusal.message = unsaid.without(credential.secret, refusal.message)
            raise refusal
    finally:
        answer.close()
    return counting.read_count(provider.format, told)
