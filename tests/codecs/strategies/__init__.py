"""Requests and answers of each format as their vendors document them, with unknown keys strewn in."""

from tests.codecs.strategies.answers import answers
from tests.codecs.strategies.base import values, words
from tests.codecs.strategies.bedrock import bedrock_request
from tests.codecs.strategies.chat import chat_request
from tests.codecs.strategies.cloudcode import cloudcode_request
from tests.codecs.strategies.cohere import cohere_request
from tests.codecs.strategies.cursor import cursor_request
from tests.codecs.strategies.damage import damaged
from tests.codecs.strategies.gemini import gemini_request
from tests.codecs.strategies.kiro import kiro_request
from tests.codecs.strategies.messages import messages_request
from tests.codecs.strategies.ollama import ollama_request
from tests.codecs.strategies.responses import responses_request

__all__ = [
    "answers",
    "bedrock_request",
    "chat_request",
    "cloudcode_request",
    "cohere_request",
    "cursor_request",
    "damaged",
    "gemini_request",
    "kiro_request",
    "messages_request",
    "ollama_request",
    "responses_request",
    "values",
    "words",
]
