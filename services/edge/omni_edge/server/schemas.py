"""What the OpenAPI document says of bodies that are never parsed here: for people and for client generators.

Only the fields a reader looks for first; any other field of the format is taken too, and passed on.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class OpenModel(BaseModel):
    model_config = ConfigDict(extra="allow")


class ContentPart(OpenModel):
    type: str = Field(description='"text", "image_url", "input_audio", "file"')
    text: str | None = None
    image_url: dict[str, Any] | None = Field(None, description="{url: https or data URL, detail}")


class FunctionCall(OpenModel):
    name: str
    arguments: str = Field(description="JSON text, as the model wrote it")


class ToolCall(OpenModel):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(OpenModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = Field(None, description='on role "tool": which call this answers')


class StreamOptions(OpenModel):
    include_usage: bool = Field(False, description="send a last chunk with usage and no choices")


class ChatCompletionRequest(OpenModel):
    model: str = Field(description='"provider/model", or the name of a combo', examples=["acme/gpt-x"])
    messages: list[ChatMessage]
    stream: bool = Field(False, description="answer with server-sent events, ended by `data: [DONE]`")
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = Field(None, description="the older name of max_completion_tokens")
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None


class Usage(OpenModel):
    prompt_tokens: int = Field(description="cached tokens included")
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None


class Choice(OpenModel):
    index: int
    message: ChatMessage
    finish_reason: str | None = Field(description='"stop", "length", "tool_calls", "content_filter"')


class ChatCompletion(OpenModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class ErrorDetail(OpenModel):
    message: str
    type: str
    code: str | None
    param: str | None
    request_id: str


class ErrorBody(BaseModel):
    error: ErrorDetail


class ModelObject(BaseModel):
    """Sizes in tokens, left out when unknown; ``created`` in epoch seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    context_length: int | None = None
    max_output_tokens: int | None = None


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelObject]


class Index(BaseModel):
    object: Literal["gateway"] = "gateway"
    name: str
    endpoints: list[str]


class CheckResult(BaseModel):
    ok: bool
    detail: str


class Readiness(BaseModel):
    status: Literal["ready", "not ready", "draining"]
    checks: dict[str, CheckResult]
