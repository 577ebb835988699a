"""Compute the ids of events from their content, so that an event gets the same id when it is imported again."""

from __future__ import annotations

from hashlib import blake2b

# An id consists of the event's time in seconds, modulo a cycle of about 388 days, and 38 bits of a hash. So events in
# chronological order are inserted at the end of the table, which is fast for a large table. The events of a period can
# be found by their ids. With ten million events, at 1,000 per second, the probability of a collision is 2%.
CYCLE = 1 << 25
HASH_BITS = 38
HASH_MASK = (1 << HASH_BITS) - 1

MAX_REMEMBERED = 50_000


class EventIds:
    """Compute ids from a timestamp in milliseconds and a content.

    Equal events are numbered, and the number is part of the hash. So they get different ids, and a second file with the
    same events gets the same ids. Only the last MAX_REMEMBERED to 2 * MAX_REMEMBERED different events are remembered.
    If equal events are further apart, they get the same id, so they are treated as one event.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._hash = blake2b(key=key, digest_size=8)  # copying a hash for each id is faster than creating one
        self._counts: dict[bytes, int] = {}
        self._earlier_counts: dict[bytes, int] = {}

    def make(self, timestamp: int, content: bytes) -> int:
        hash = self._hash.copy()
        hash.update(content)
        digest = hash.digest()
        count = self._counts.get(digest)
        if count is None:
            count = self._earlier_counts.get(digest, 0)
            if len(self._counts) >= MAX_REMEMBERED:
                self._earlier_counts = self._counts
                self._counts = {}
        self._counts[digest] = count + 1
        if count:
            digest = blake2b(digest + count.to_bytes(8, "big"), digest_size=8).digest()
        return (timestamp // 1000 % CYCLE) << HASH_BITS | int.from_bytes(digest, "big") & HASH_MASK


def id_ranges(started_at: int, ended_at: int) -> list[tuple[int, int]]:
    """Return the ranges of ids of the events in a period. There are two if a cycle ends within the period."""
    low, high = started_at // 1000, ended_at // 1000
    if high - low >= CYCLE:
        return [(0, CYCLE << HASH_BITS)]
    low, high = low % CYCLE, high % CYCLE
    if low <= high:
        return [(low << HASH_BITS, high << HASH_BITS | HASH_MASK)]
    return [(low << HASH_BITS, (CYCLE << HASH_BITS) - 1), (0, high << HASH_BITS | HASH_MASK)]
