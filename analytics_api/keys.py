"""Named API keys with scopes, kept in the database as digests."""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from typing import Final

from .database import Database, Row, Transaction
from .errors import APIKeyError

log = logging.getLogger(__name__)

# The messages of a 401, to the letter as the contract has them.
MISSING_KEY: Final = "API key required. Use Authorization: Bearer <key> or X-API-Key header."
INVALID_KEY: Final = "Invalid API key"

SCOPES: Final = ("stats", "leads:read", "leads:write")
ALL_SCOPES: Final = frozenset(SCOPES)
PREFIX_LENGTH: Final = 8  # letters of a key that are shown
RESERVED_NAME: Final = re.compile("key-[0-9]+")  # names that the keys of the settings go by

INSERT_KEY = """
insert into api_keys (name, prefix, digest, scopes, created_at, expires_at)
values (:name, :prefix, :digest, :scopes, :created_at, :expires_at)
on conflict (name) do nothing
"""

SELECT_KEYS = """
select name, prefix, scopes, created_at, expires_at, revoked_at, last_used_on
from api_keys
order by name
"""

REVOKE_KEY = """
update api_keys
set revoked_at = :revoked_at
where name = :name
  and revoked_at is null
"""

SELECT_ACTIVE = """
select name, scopes, expires_at, last_used_on
from api_keys
where digest = :digest
  and revoked_at is null
"""

TOUCH = """
update api_keys
set last_used_on = :day
where name = :name
"""


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks, by name, and what they may."""

    name: str
    scopes: frozenset[str] = ALL_SCOPES


@dataclass
class KeyStore:
    """The keys of a database. What is added or revoked counts from the next request on, in every process."""

    db: Database
    _used: dict[str, str] = field(default_factory=dict)  # the day on which a key's use was last written here

    def add(self, name: str, scopes: Iterable[str], *, now: int, expires_at: int | None = None) -> str:
        """Make a key; itself, which can't be told again. Instants in milliseconds.

        Raises APIKeyError when the name is taken, also by a key that was revoked or by one of the settings, or a scope
        is none of SCOPES.
        """
        wanted = set(scopes)
        if not name.strip() or not name.isprintable():
            raise APIKeyError("a key takes a name that can be printed")
        if RESERVED_NAME.fullmatch(name):
            raise APIKeyError(f"the keys of the settings go by names such as {name}; a key takes another")
        if not wanted or wanted - ALL_SCOPES:
            raise APIKeyError(f"a key takes some of the scopes {', '.join(SCOPES)}")
        key = "ana_" + secrets.token_urlsafe(32)

        def add(at: Transaction) -> int:
            return at.execute(
                INSERT_KEY,
                name=name,
                prefix=key[:PREFIX_LENGTH],
                digest=digest(key.encode()),
                scopes=" ".join(scope for scope in SCOPES if scope in wanted),
                created_at=now,
                expires_at=expires_at,
            )

        if not self.db.write(add):
            raise APIKeyError(f"there is a key named {name} already, or was; the history knows it by that name")
        return key

    def list(self) -> list[Row]:
        """Every key there is or was, by name, without its digest."""
        return self.db.rows(SELECT_KEYS)

    def revoke(self, name: str, *, now: int) -> None:
        """Let the key in no more. Raises APIKeyError when there is none of that name that is let in."""
        if not self.db.write(lambda at: at.execute(REVOKE_KEY, name=name, revoked_at=now)):
            raise APIKeyError(f"there is no key named {name} that could be revoked")

    def find(self, sent: bytes, *, now: int) -> Key | None:
        """The key that was sent, unless it is not known, revoked or expired. Any costs the same one look-up."""
        found = self.db.row(SELECT_ACTIVE, digest=digest(sent))
        if found is None or (found["expires_at"] is not None and found["expires_at"] <= now):
            return None
        self._note_use(found, datetime.fromtimestamp(now / 1000, timezone.utc).date().isoformat())
        return Key(found["name"], frozenset(found["scopes"].split()))

    def _note_use(self, found: Row, day: str) -> None:
        """Write down that the key was used that day: once a day, and not while somebody waits."""
        name = found["name"]
        if found["last_used_on"] == day or self._used.get(name) == day:
            return
        self._used[name] = day

        def note() -> None:
            try:
                self.db.write(lambda at: at.execute(TOUCH, name=name, day=day))
            except Exception:
                log.warning("the use of the key %s could not be noted", name, exc_info=True)

        threading.Thread(target=note, name="key-use", daemon=True).start()


def digest(key: bytes) -> str:
    """What is kept of a key: enough to know it again, and nothing to make it from."""
    return sha256(key).hexdigest()
