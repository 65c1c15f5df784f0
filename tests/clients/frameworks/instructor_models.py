"""Instructor over the three vendors' SDKs: it gives objects, by a call that it demands of the model."""

from functools import lru_cache
from typing import Any

import anthropic
import instructor
import openai
from google import genai
from google.genai import types
from instructor.core import InstructorError, InstructorRetryException
from pydantic import BaseModel
from tenacity import RetryError

from tests.clients.door import Door
from tests.clients.jobs import Job, Turn


class Home(BaseModel):
    city: str


class Person(BaseModel):
    """What every job is asked for, as the scenarios have it."""

    name: str
    age: int
    tags: list[str]
    home: Home


@lru_cache
def _openai(url: str, key: str, mode: Any) -> Any:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
    return instructor.from_openai(client, mode=mode)


@lru_cache
def _anthropic(url: str, key: str) -> Any:
    client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=30)
    return instructor.from_anthropic(client)


@lru_cache
def _google(url: str, key: str) -> Any:
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, timeout=30_000))
    return instructor.from_genai(client, mode=instructor.Mode.GENAI_TOOLS)


def openai_chat(door: Door, job: Job) -> list[Turn]:
    return _asked(_openai(door.url, door.key_for(job), instructor.Mode.TOOLS), job)


def openai_responses(door: Door, job: Job) -> list[Turn]:
    return _asked(_openai(door.url, door.key_for(job), instructor.Mode.RESPONSES_TOOLS), job)


def anthropic_messages(door: Door, job: Job) -> list[Turn]:
    return _asked(_anthropic(door.url, door.key_for(job)), job, max_tokens=8000)


def google(door: Door, job: Job) -> list[Turn]:
    return _asked(_google(door.url, door.key_for(job)), job)


def _asked(client: Any, job: Job, **more: Any) -> list[Turn]:
    asked = {"model": job.model, "messages": [{"role": "user", "content": job.prompt}], "max_retries": 0, **more}
    try:
        if job.stream:
            found = list(client.create_partial(response_model=Person, **asked))
            return [Turn(parsed=found[-1].model_dump() if found else None, events=len(found))]
        return [Turn(parsed=client.create(response_model=Person, **asked).model_dump())]
    except InstructorRetryException as error:
        below = _below(error)
    raise below  # out here, so that it has no other error behind it


def _below(error: BaseException) -> BaseException:
    """What the SDK raised that the retries are of."""
    while isinstance(error, InstructorError | RetryError):
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    return error
