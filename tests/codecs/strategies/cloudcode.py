"""Requests of Code Assist, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.base import names, obj
from tests.codecs.strategies.gemini import gemini_request


def cloudcode_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    inner = gemini_request(strange)
    if strange:
        inner = st.builds(lambda request, name: request | {"session_id": name}, inner, names)
    named = {"project": names, "user_prompt_id": names, "requestType": st.just("agent")}
    return obj({"model": names, "request": inner}, named if strange else None, strange)
