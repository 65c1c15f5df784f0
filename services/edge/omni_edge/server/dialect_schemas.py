"""As ``schemas``, for the dialects beside OpenAI's chat: bodies, errors and lists of models.

Each class is a short word on a shape that its vendor's own reference tells in full: what is not listed here is taken
and passed on all the same.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from omni_edge.server.schemas import OpenModel

# ---- OpenAI Responses ------------------------------------------------------------------------------------------------


class ResponsesRequest(OpenModel):
    model: str = Field(description='"provider/model", or the name of a combo')
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool = Field(False, description="answer with server-sent events")
    max_output_tokens: int | None = None
    temperature: float | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = Field(None, description="format (json_schema), verbosity")
    store: bool | None = None


class ResponsesUsage(OpenModel):
    input_tokens: int = Field(description="cached tokens included")
    output_tokens: int
    total_tokens: int


class ResponseObject(OpenModel):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: str = Field(description='"completed", "incomplete", "failed"')
    model: str
    output: list[dict[str, Any]]
    usage: ResponsesUsage | None = None


class InputTokensRequest(OpenModel):
    model: str = Field(description='"provider/model", or the name of a combo')
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None


class InputTokens(OpenModel):
    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


# ---- Anthropic Messages ----------------------------------------------------------------------------------------------


class AnthropicTurn(OpenModel):
    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class CountTokensRequest(OpenModel):
    model: str = Field(description='"provider/model", or the name of a combo')
    messages: list[AnthropicTurn]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None


class MessagesRequest(CountTokensRequest):
    max_tokens: int
    stream: bool = Field(False, description="answer with server-sent events")
    temperature: float | None = None
    stop_sequences: list[str] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None


class MessagesUsage(OpenModel):
    input_tokens: int = Field(description="without cached tokens")
    output_tokens: int
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Message(OpenModel):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[dict[str, Any]]
    stop_reason: str | None
    usage: MessagesUsage


class TokenCount(OpenModel):
    input_tokens: int


class AnthropicErrorDetail(OpenModel):
    type: str
    message: str


class AnthropicError(BaseModel):
    type: Literal["error"] = "error"
    error: AnthropicErrorDetail
    request_id: str


class AnthropicModel(OpenModel):
    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: str
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class AnthropicModelList(BaseModel):
    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


# ---- Gemini generateContent ------------------------------------------------------------------------------------------


class GoogleShape(OpenModel):
    model_config = ConfigDict(alias_generator=to_camel)


class GeminiContent(GoogleShape):
    role: str | None = Field(None, description='"user" or "model"')
    parts: list[dict[str, Any]]


class GenerateContentRequest(GoogleShape):
    contents: list[GeminiContent]
    system_instruction: GeminiContent | None = None
    tools: list[dict[str, Any]] | None = None
    tool_config: dict[str, Any] | None = None
    generation_config: dict[str, Any] | None = None


class GenerateContentResponse(GoogleShape):
    candidates: list[dict[str, Any]]
    usage_metadata: dict[str, Any] | None = Field(None, description="cached tokens included in promptTokenCount")
    model_version: str | None = None
    response_id: str | None = None


class CountTokensBody(GoogleShape):
    contents: list[GeminiContent] | None = None
    generate_content_request: dict[str, Any] | None = None


class GeminiTokenCount(GoogleShape):
    total_tokens: int


class GoogleErrorDetail(GoogleShape):
    code: int
    message: str
    status: str


class GoogleError(GoogleShape):
    error: GoogleErrorDetail


class GoogleModel(GoogleShape):
    name: str = Field(description="models/ and the id")
    display_name: str
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    supported_generation_methods: list[str]


class GoogleModelList(GoogleShape):
    models: list[GoogleModel]
    next_page_token: str | None = None


# ---- Ollama ----------------------------------------------------------------------------------------------------------


class OllamaMessage(OpenModel):
    role: str = Field(description='"system", "user", "assistant" or "tool"')
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = Field(None, description="base64")
    tool_calls: list[dict[str, Any]] | None = None
    tool_name: str | None = None


class OllamaChatRequest(OpenModel):
    model: str = Field(description='"provider/model", or the name of a combo')
    messages: list[OllamaMessage]
    stream: bool = Field(True, description="answer with one object a line")
    tools: list[dict[str, Any]] | None = None
    format: str | dict[str, Any] | None = Field(None, description='"json", or a JSON schema')
    think: bool | str | None = Field(None, description='true, false, "low", "medium" or "high"')
    options: dict[str, Any] | None = Field(None, description="temperature, num_predict, stop, …")


class OllamaAnswer(OpenModel):
    model: str
    created_at: str
    message: OllamaMessage
    done: bool
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class OllamaModel(OpenModel):
    name: str
    model: str
    modified_at: str
    details: dict[str, Any]


class OllamaTags(BaseModel):
    models: list[OllamaModel]


class OllamaError(BaseModel):
    error: str
