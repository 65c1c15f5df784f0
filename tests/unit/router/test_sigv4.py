"""AWS Signature Version 4, against what AWS has published and what its own SDK makes of the same call."""

import pytest
from omni_router.domain.sigv4 import AccessKey, bearer_or_signed, read_access_key, region_of, sign
from omni_wire.errors import CredentialUnavailable

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = 1440938160  # 2015-08-30T12:36:00Z
BEDROCK = "https://bedrock-runtime.eu-west-1.amazonaws.com/model"
CLAUDE = f"{BEDROCK}/us.anthropic.claude-opus-4-6-v1%3A0/converse"
PROFILE = f"{BEDROCK}/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.anthropic.claude-x/converse-stream"


@pytest.mark.parametrize(
    ("method", "query", "signature"),
    [  # aws-sig-v4-test-suite: get-vanilla, get-vanilla-query-order-key-case, post-vanilla
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
)
def test_the_published_signatures_are_made(method: str, query: str, signature: str) -> None:
    key = AccessKey("AKIDEXAMPLE", SECRET, region="us-east-1")
    found = sign(key, "service", method, f"https://example.amazonaws.com/{query}", b"", NOW)
    assert found == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
    }


@pytest.mark.parametrize(
    ("url", "token", "signature"),
    [  # made by botocore 1.44.8, SigV4Auth
        (CLAUDE, "", "50c400f6e25e92825e2f9554e6aab8b4bfc3a7b7c3a7ea056e5c1c136e7cb3c0"),
        (CLAUDE, "FwoGZXIvYXdzEXAMPLE==", "d8b20fc57b973255f28e780edb5bafbbc526454d59582cc0ad24e013a54e5a94"),
        (PROFILE, "", "0a90cd12a66c7ff47ee40656c7faca760fddab03347c81fd7ae9803c92f10e0d"),
        (PROFILE, "FwoGZXIvYXdzEXAMPLE==", "1363970282de7713d99c78653b727630443a70627ec6d2f013cd9cf1d556f4ee"),
    ],
)
def test_a_call_to_bedrock_is_signed_as_awss_own_sdk_signs_it(url: str, token: str, signature: str) -> None:
    secret = ":".join(filter(None, ("AKIDEXAMPLE0000000", SECRET, token)))
    found = bearer_or_signed("bedrock", secret, url, b'{"messages":[]}', NOW)
    assert found["authorization"].endswith(signature)
    assert found.get("x-amz-security-token", "") == token


def test_a_secret_says_what_it_is() -> None:
    assert read_access_key(f"AKIDEXAMPLE0000000:{SECRET}") == AccessKey("AKIDEXAMPLE0000000", SECRET)
    assert read_access_key(f"ASIAEXAMPLE0000000:{SECRET}:tok/en+==@eu-central-1") == AccessKey(
        "ASIAEXAMPLE0000000", SECRET, "tok/en+==", "eu-central-1"
    )
    for plain in ("ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl", "bedrock-api-key-YmVkcm9jaw==", "sk:lower", "AKID:", ""):
        assert read_access_key(plain) is None
    assert bearer_or_signed("bedrock", "ABSKkey", CLAUDE, b"{}", NOW) == {"authorization": "Bearer ABSKkey"}


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.eu-west-1.amazonaws.com", "eu-west-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("127.0.0.1", ""),
        ("proxy.example.com", ""),
    ],
)
def test_the_region_is_in_the_hosts_name_or_nowhere(host: str, region: str) -> None:
    assert region_of(host) == region


def test_without_a_region_nothing_is_signed() -> None:
    key = f"AKIDEXAMPLE0000000:{SECRET}"
    with pytest.raises(CredentialUnavailable, match="region"):
        bearer_or_signed("bedrock", key, "http://127.0.0.1:1/model/m/converse", b"{}", NOW)
    found = bearer_or_signed("bedrock", f"{key}@eu-west-1", "http://127.0.0.1:1/model/m/converse", b"{}", NOW)
    assert "/eu-west-1/bedrock/aws4_request" in found["authorization"]


def test_a_key_is_not_shown() -> None:
    assert SECRET not in repr(read_access_key(f"AKIDEXAMPLE0000000:{SECRET}"))
