"""The names of OpenTelemetry's semantic conventions for generative AI, and of what else our spans say.

Version 1.41.1 of the conventions (status Development), the last release of open-telemetry/semantic-conventions that
defines ``gen_ai.*``: github.com/open-telemetry/semantic-conventions/blob/v1.41.1/docs/gen-ai/gen-ai-spans.md. They have
moved to open-telemetry/semantic-conventions-genai, which has no stable release; of the names below, that one renames
``cache_creation`` to ``cache_write``. To follow it, change this module: no other spells a ``gen_ai.*`` name.
"""

from typing import Final

VERSION: Final = "1.41.1"
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{VERSION}"

# ---- generative AI --------------------------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
# Seconds, of a stream only.
RESPONSE_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

CHAT: Final = "chat"

# Ids that the usual vendors go by in configuration files, where the convention's name for them differs. Any other id
# is itself the name: the convention allows values of one's own.
_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "claude": "anthropic",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "grok": "x_ai",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}


def provider_name(provider_id: str) -> str:
    """The convention's name for a provider of the configuration."""
    return _PROVIDERS.get(provider_id.lower(), provider_id)


# ---- what other conventions name (stable, or messaging's of the same version) ---------------------------------------

ERROR_TYPE: Final = "error.type"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_OPERATION: Final = "messaging.operation.type"
MESSAGING_BATCH: Final = "messaging.batch.message_count"

# ---- our own --------------------------------------------------------------------------------------------------------

REQUEST_ID: Final = "omniroute.request.id"
ROUTE_PROVIDER: Final = "omniroute.route.provider"
ROUTE_MODEL: Final = "omniroute.route.model"
ROUTE_COMBO: Final = "omniroute.route.combo"
ROUTE_ATTEMPTS: Final = "omniroute.route.attempts"
OUTCOME: Final = "omniroute.outcome"
ATTEMPT_ID: Final = "omniroute.attempt.id"
ACCOUNT_ID: Final = "omniroute.account.id"
COST: Final = "omniroute.cost.nano_usd"
ADMISSION: Final = "omniroute.ledger.admission"
PASSTHROUGH: Final = "omniroute.passthrough"
LOSSES: Final = "omniroute.translation.losses"
CLIENT_FORMAT: Final = "omniroute.format.client"
PROVIDER_FORMAT: Final = "omniroute.format.provider"
