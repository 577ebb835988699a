"""Ids for events that came without one, made of their content: the same event has the same id the next time."""

from __future__ import annotations

from hashlib import blake2b

# An id is the second of the event, within a cycle of about 388 days, and then 38 bits of a hash. So rows that come in
# the order of time are written side by side, which a table of many millions needs, and the events of a time can be
# found by id. Of ten million rows at a thousand a second, two fall on the same id with a chance of 2%.
CYCLE = 1 << 25
HASH_BITS = 38
HASH_MASK = (1 << HASH_BITS) - 1

MAX_REMEMBERED = 50_000


class EventIds:
    """Makes ids of an instant, in milliseconds, and a content.

    Events that are alike in both are told apart by counting them, so of an instant that lies in two files as often in
    each, every event has its id again. They are counted within the last MAX_REMEMBERED or more; like events further
    apart are taken for one that was written twice.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._hash = blake2b(key=key, digest_size=8)  # copied for each, which is quicker than a new one
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
    """Return the lowest and the highest id of the events of a time; two ranges where a cycle ends in it."""
    low, high = started_at // 1000, ended_at // 1000
    if high - low >= CYCLE:
        return [(0, CYCLE << HASH_BITS)]
    low, high = low % CYCLE, high % CYCLE
    if low <= high:
        return [(low << HASH_BITS, high << HASH_BITS | HASH_MASK)]
    return [(low << HASH_BITS, (CYCLE << HASH_BITS) - 1), (0, high << HASH_BITS | HASH_MASK)]
