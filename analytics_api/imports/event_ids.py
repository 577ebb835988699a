"""Ids for rows that came without one: made of what the row says, so that it has the same one the next time."""

from __future__ import annotations

from hashlib import blake2b

# An id is the second in which the row happened, within a cycle of about 388 days, and then 38 bits of a hash. So rows
# that come in the order of time are written side by side, which a table of many millions needs, and what happened at a
# time can be found by id. Of ten million rows at a thousand a second, two fall on the same id with a chance of 2%.
CYCLE = 1 << 25
HASH_BITS = 38
HASH = (1 << HASH_BITS) - 1

REMEMBERED = 50_000


class Identities:
    """Ids of rows by their instant, in milliseconds, and content.

    Rows that are alike in both are told apart by counting them, so of an instant that lies in two files as often in
    each, every row has its id again. Counted is within the last REMEMBERED rows or more; like rows further apart are
    taken to be one that was written twice.
    """

    def __init__(self, key: bytes = b"") -> None:
        self.hash = blake2b(key=key, digest_size=8)  # copied for each, which is sooner than to begin anew
        self.seen: dict[bytes, int] = {}
        self.seen_before: dict[bytes, int] = {}

    def of(self, instant: int, content: bytes) -> int:
        hash = self.hash.copy()
        hash.update(content)
        digest = hash.digest()
        like = self.seen.get(digest)
        if like is None:
            like = self.seen_before.get(digest, 0)
            if len(self.seen) >= REMEMBERED:
                self.seen_before = self.seen
                self.seen = {}
        self.seen[digest] = like + 1
        if like:
            digest = blake2b(digest + like.to_bytes(8, "big"), digest_size=8).digest()
        return (instant // 1000 % CYCLE) << HASH_BITS | int.from_bytes(digest, "big") & HASH


def spans(started: int, ended: int) -> list[tuple[int, int]]:
    """The lowest and the highest id of what happened from `started` to `ended`; twice where a cycle ends between."""
    low, high = started // 1000, ended // 1000
    if high - low >= CYCLE:
        return [(0, CYCLE << HASH_BITS)]
    low, high = low % CYCLE, high % CYCLE
    if low <= high:
        return [(low << HASH_BITS, high << HASH_BITS | HASH)]
    return [(low << HASH_BITS, (CYCLE << HASH_BITS) - 1), (0, high << HASH_BITS | HASH)]
