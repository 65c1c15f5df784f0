"""A job a line in, a report a line out (../workers.py). Run by the environment that has the framework asked for."""

import sys
from importlib import import_module

import msgspec

from tests.clients.door import Client, Door, report
from tests.clients.jobs import Job

# Module and function: no environment has them all.
CLIENTS = {
    "langchain-openai/python/openai.chat": ("langchain_models", "openai_chat"),
    "langchain-openai/python/openai.responses": ("langchain_models", "openai_responses"),
    "langchain-anthropic/python/anthropic.messages": ("langchain_models", "anthropic"),
    "pydantic-ai/python/openai.chat": ("pydantic_models", "openai_chat"),
    "pydantic-ai/python/openai.responses": ("pydantic_models", "openai_responses"),
    "pydantic-ai/python/anthropic.messages": ("pydantic_models", "anthropic"),
    "pydantic-ai/python/gemini.generate": ("pydantic_models", "google"),
    "instructor/python/openai.chat": ("instructor_models", "openai_chat"),
    "instructor/python/openai.responses": ("instructor_models", "openai_responses"),
    "instructor/python/anthropic.messages": ("instructor_models", "anthropic_messages"),
    "instructor/python/gemini.generate": ("instructor_models", "google"),
}


def client(name: str) -> Client:
    module, function = CLIENTS[name]
    found: Client = getattr(import_module(f"tests.clients.frameworks.{module}"), function)
    return found


class Line(msgspec.Struct, frozen=True):
    url: str
    key: str
    client: str
    job: Job


def main() -> None:
    for line in sys.stdin.buffer:
        asked = msgspec.json.decode(line, type=Line)
        said = report(client(asked.client), Door(asked.url, asked.key), asked.job)
        sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
