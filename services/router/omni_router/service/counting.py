"""The story of a count: ask a provider of the client's own format that can count, else estimate."""

from collections.abc import Mapping

from omni_catalogue.catalogue import Candidate, Plan
from omni_catalogue.snapshot import Timeouts
from omni_core.ports.context import CallContext
from omni_wire.body import Body
from omni_wire.errors import CredentialUnavailable, InvalidRequest, UpstreamError, UpstreamRejected, WireError
from omni_wire.formats import WireFormat

from omni_router.domain import counting, provider_call, verdict
from omni_router.ports import UpstreamRequest
from omni_router.service.attempt import Tools

# Accounts to ask before the estimate has to do: nobody waits long for a count.
_TRIES = 2
_WITHIN = 10.0  # seconds
_MAX_ANSWER = 64 * 1024


async def count(
    tools: Tools,
    context: CallContext,
    plan: Plan,
    client_format: WireFormat,
    body: Body,
    headers: Mapping[str, str],
    timeouts: Timeouts,
) -> int:
    """Raises ``InvalidRequest``, or ``UpstreamRejected`` where the provider objects to the request itself."""
    asked = 0
    for candidate in plan.candidates:
        if candidate.provider.format is not client_format:
            continue
        url = provider_call.count_url(candidate.provider, candidate.model.id)
        if not url or asked == _TRIES:
            break
        asked += 1
        try:
            return await _ask(tools, context, candidate, url, body, headers, timeouts)
        except UpstreamRejected as error:
            if error.status == 400:
                raise
        except WireError as error:
            raise InvalidRequest(str(error), param=error.field) from error
        except (UpstreamError, CredentialUnavailable):
            continue
    return counting.estimate(body)


async def _ask(
    tools: Tools,
    context: CallContext,
    candidate: Candidate,
    url: str,
    body: Body,
    headers: Mapping[str, str],
    timeouts: Timeouts,
) -> int:
    provider, account = candidate.provider, candidate.account
    question = counting.question(provider.format, body, candidate.model.id)
    secret = tools.credentials.known(account) or await tools.credentials.ask(context, account)
    answer = await tools.upstream.send(
        UpstreamRequest(
            url=url,
            headers=provider_call.headers(
                provider,
                secret,
                stream=False,
                request_id=context.request_id,
                traceparent=context.traceparent,
                client=headers,
            ),
            body=question,
            allow_private=provider.allow_private_address,
            timeouts=timeouts,
            begin_within=min(_WITHIN, timeouts.total),
        )
    )
    try:
        told = await answer.read(_MAX_ANSWER)
        if answer.status != 200:
            if answer.status in (401, 403):
                tools.credentials.forget(account.id)
            raise verdict.from_status(answer.status, answer.headers, told)
    finally:
        answer.close()
    return counting.read_count(provider.format, told)
