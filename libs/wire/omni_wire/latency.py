"""Histograms of latency: fixed buckets whose width grows with the value, and whole counts in them. So any two
histograms add up bucket by bucket, exactly and in any order, and what was counted can be taken back.

Up to 31 ms a bucket is a millisecond; above, each doubling is divided into 16, so that a percentile is off by less than
1/16 of itself.
"""

from collections.abc import Mapping

import msgspec

# From the request's start: to its end, and to the first byte of its answer, in milliseconds. Of our own before its
# provider was asked, in microseconds, for which the buckets are as good.
TOTAL, TTFT, OVERHEAD = "total", "ttft", "overhead"

# How many are in a bucket, by its number; none is 0.
Counts = Mapping[int, int]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[int]).decode
_BITS = 4
_HALF = 1 << _BITS
# About 49 days; what is longer counts as that.
_LONGEST = 2**32 - 1
# Every bucket's number is below.
BUCKETS = 512


def bucket_of(ms: int) -> int:
    """The bucket of a time in milliseconds; one before zero (a clock that jumped) is zero."""
    value = 0 if ms < 0 else _LONGEST if ms > _LONGEST else ms
    shift = max(value.bit_length() - _BITS - 1, 0)
    return shift * _HALF + (value >> shift)


def longest_in(bucket: int) -> int:
    """The greatest number of milliseconds that ``bucket_of`` puts there."""
    shift = max(bucket // _HALF - 1, 0)
    return ((bucket - shift * _HALF + 1) << shift) - 1


def added(one: Counts, other: Counts) -> Counts:
    """Both together."""
    both = dict(one)
    for bucket, count in other.items():
        both[bucket] = both.get(bucket, 0) + count
    return {bucket: count for bucket, count in both.items() if count}


def packed(counts: Counts) -> bytes:
    """As it is stored: of equal histograms the same bytes. MessagePack of bucket, count, bucket, count, …, in order."""
    return _pack([number for pair in sorted(counts.items()) for number in pair])


def unpacked(data: bytes) -> Counts:
    found = iter(numbers(data))
    return dict(zip(found, found, strict=True))


def numbers(data: bytes) -> list[int]:
    """What is ``packed``: bucket, count, bucket, count, …, to add up many without a mapping of each."""
    return _unpack(data)


def percentile(counts: Counts, share: float) -> int | None:
    """The time within which ``share`` (0 to 1) of what was counted took place, in milliseconds: the end of the bucket
    in which that is. None where nothing was counted."""
    total = sum(counts.values())
    if total <= 0:
        return None
    wanted = max(1, -int(-share * total // 1))
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= wanted:
            return longest_in(bucket)
    return longest_in(max(counts))
