"""Compute visitor ids, which are keyed hashes.

By default, a visitor id is the hash of the client address and the user agent, with a random salt for each day of the
site's calendar. The salt is deleted two days later, so that nobody can compute the hash again. If the device stores a
random id, the visitor id is the hash of this id with a permanent key. A client cannot choose a visitor id, because
every id that it sends is hashed.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Final, NamedTuple

from ..database import Database, Transaction
from ..database.secrets_table import add_value, find_value
from ..statistics.ranges import find_today
from ..values.calendar import Today
from .lead_limit import network_of

RECHECK_MS: Final = 60_000  # a change of the site's time zone takes effect after this time
VISITOR_KEY: Final = "collector_visitor_key"  # a name in the table `secrets`

ADD_SALT = """
insert into collector_salts (day, salt)
values (:day, :salt)
on conflict (day) do nothing
"""

SELECT_SALT = """
select salt
from collector_salts
where day = :day
"""

DELETE_SALTS = """
delete from collector_salts
where day < :yesterday
"""


class Salt(NamedTuple):
    """The salt of a day.

    After `recheck_at`, find_today() must be called again, because the day or the site's time zone may have changed.
    """

    today: Today
    key: bytes
    recheck_at: int


class Identity:
    """Compute visitor ids."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._salt: Salt | None = None
        self._visitor_key: bytes | None = None

    def daily_visitor(self, address: str, agent: str, now: int) -> str:
        """Return the visitor id for this address and user agent on the current day."""
        return _hash(self.salt(now).key, f"{address}\0{agent}")

    def stored_visitor(self, visitor: str) -> str:
        """Return the visitor id for the id that a device stores."""
        return _hash(self._permanent_key(), visitor)

    def sender(self, address: str) -> str:
        """Return the hash of an address, to count its leads of the last hour. The hash does not change at midnight."""
        return _hash(self._permanent_key(), f"\0{network_of(address)}")

    def _permanent_key(self) -> bytes:
        if self._visitor_key is None:
            value = find_value(self.db, VISITOR_KEY) or self.db.write(
                lambda at: add_value(at, VISITOR_KEY, secrets.token_hex(32))
            )
            self._visitor_key = bytes.fromhex(value)
        return self._visitor_key

    def salt(self, now: int) -> Salt:
        """Return the salt of the current day. On a new day, create it and delete old salts."""
        salt = self._salt
        if salt is None or not salt.today.begins_at <= now < salt.recheck_at:
            salt = self._salt = self._read_salt(now, salt)
        return salt

    def _read_salt(self, now: int, former: Salt | None) -> Salt:
        today = find_today(self.db, now)
        recheck_at = min(today.ends_at, now + RECHECK_MS)
        if former is not None and former.today.day == today.day:
            return Salt(today, former.key, recheck_at)
        new = secrets.token_hex(32)

        def obtain(at: Transaction) -> str:
            at.execute(ADD_SALT, day=today.day, salt=new)
            with at.secure_delete():
                at.execute(DELETE_SALTS, yesterday=today.day - 1)
            return str(at.rows(SELECT_SALT, day=today.day)[0]["salt"])

        return Salt(today, bytes.fromhex(self.db.write(obtain)), recheck_at)


def _hash(key: bytes, text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=16).hexdigest()
