"""A provider's vector is taken as it is told, and nothing else is taken for one."""

import pytest
from omni_router.adapters.embeddings import _read
from omni_wire.errors import UpstreamFailed


@pytest.mark.parametrize(
    ("told", "vector", "tokens"),
    [
        (b'{"data":[{"embedding":[1,-0.5],"index":0}],"usage":{"prompt_tokens":3,"total_tokens":3}}', (1.0, -0.5), 3),
        (b'{"data":[{"embedding":[0.25]}]}', (0.25,), 0),
        (b'{"data":[{"embedding":[0.25]}],"usage":null}', (0.25,), 0),
        (b'{"data":[{"embedding":[0.25]}],"usage":{"prompt_tokens":"many"}}', (0.25,), 0),
    ],
)
def test_a_vector_and_its_tokens(told: bytes, vector: tuple[float, ...], tokens: int) -> None:
    found = _read(told)
    assert (found.vector, found.tokens) == (vector, tokens)


@pytest.mark.parametrize(
    "told",
    [
        b"", b"not JSON", b"[]", b"{}", b'{"data":[]}', b'{"data":[{"embedding":[]}]}',
        b'{"data":[{"embedding":"AAAA"}]}',
        b'{"data":[{"embedding":[1,"2"]}]}', b'{"data":[{"embedding":[1]},{"embedding":[1]}]}', b"[" * 5000,
        b'{"error":{"message":"no"}}', b'{"data":[{"embedding":[NaN]}]}',
    ],
)  # fmt: skip
def test_what_is_no_vector_is_the_providers_failure_and_is_not_repeated(told: bytes) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        _read(told)
    assert failed.value.message == "the provider's answer holds no vector"
