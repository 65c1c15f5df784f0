"""The upstreams of the matrix: a provider a wire format, all the simulator. A new format is one entry."""

import msgspec

KEY = "or-test-clients-0123456789"


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """What its format can say at all: whether reasoning is told, and whether a signature of it has to come back; which
    token counts it has a place for, or whether it tells none whatever; whether a call can be demanded of its model, and
    whether there is a place for a schema. ``account`` is what its provider's account has beside a key."""

    id: str
    format: str
    version: str = ""
    thinks: bool = True
    signs: bool = True
    counts_cached: bool = True
    counts_written: bool = False
    counts_reasoning: bool = True
    counts: bool = True
    demands_calls: bool = True
    takes_schemas: bool = True
    account: str = ""
    model: str = "sim"  # codecs go by the name where a provider's models differ

    @property
    def lacks(self) -> dict[str, str]:
        """Columns of the matrix of which its format knows nothing, and what is expected there instead."""
        return {} if self.counts else {"usage": "tells no usage: a client must be told none, or zeros"}

    @property
    def limits(self) -> list[str]:
        """What its format cannot say, and is not expected in a cell that is green."""
        missing = (
            (self.signs, "takes no signature back"),
            (self.counts_cached or not self.counts, "counts no cached tokens"),
            (self.counts_written or not self.counts, "counts no tokens written to a cache"),
            (self.counts_reasoning or not self.counts, "counts no thoughts apart"),
            (self.takes_schemas, "has no place for a schema: it is asked for in words, which this model heeds"),
            (self.demands_calls, "cannot demand a call: one that a client demands, this model makes by itself"),
        )
        return [*self.lacks.values(), *(limit for has, limit in missing if not has)]


UPSTREAMS = (
    Upstream(id="chat", format="openai.chat", version="/v1", signs=False),
    Upstream(id="responses", format="openai.responses", version="/v1"),
    Upstream(id="messages", format="anthropic.messages", counts_written=True, counts_reasoning=False),
    Upstream(id="gemini", format="gemini.generate"),
    Upstream(
        id="bedrock",
        format="bedrock.converse",
        counts_written=True,
        counts_reasoning=False,
        model="eu.anthropic.claude-opus-5-5-v1:0",
    ),
    Upstream(id="cloud", format="cloudcode.generate", account=", project: my-project"),
    Upstream(
        id="ollama",
        format="ollama.chat",
        signs=False,
        counts_cached=False,
        counts_reasoning=False,
        demands_calls=False,
    ),
    Upstream(id="cohere", format="cohere.chat", signs=False, counts_reasoning=False),
    Upstream(
        id="kiro", format="kiro.conversation", signs=False, counts=False, demands_calls=False, takes_schemas=False
    ),
    Upstream(id="cursor", format="cursor.chat", counts=False, demands_calls=False, takes_schemas=False),
)

_PROVIDER = """  - {{id: {id}, format: {format}, base_url: "{base}{version}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: provider-key}}{account}}}], models: [{{id: "*"}}]}}
"""


def configuration(base: str) -> str:
    """The gateway's file: every upstream at ``base``; nothing retried, no breaker: each outcome is one call's."""
    providers = "".join(
        _PROVIDER.format(id=row.id, format=row.format, version=row.version, account=row.account, base=base)
        for row in UPSTREAMS
    )
    timeouts = "{connect: 5, first_byte: 30, idle: 30, total: 60}"
    return f"""
server: {{host: 127.0.0.1, port: 20128, require_api_key: true}}
providers:
{providers}keys:
  - {{name: clients, secret: {{value: {KEY}}}, models: ["*"]}}
  - {{name: boss, secret: {{value: {KEY}-boss}}, role: admin}}
routing: {{retries: 0, breaker: off, cache: off, timeouts: {timeouts}}}
"""
