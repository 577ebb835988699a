"""Sessions of browsers that signed in with a key. Tokens and keys are stored only as digests."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from .database import Database, Transaction
from .keys import digest
from .values.calendar import DAY_MS

LIFETIME: Final = 30 * DAY_MS
MAX_SESSIONS: Final = 20  # per key; a further session replaces the oldest one

# Error messages of the sign-in. The OpenAPI document contains them, too.
OTHER_SITE: Final = "This request does not come from a page of this server"
READ_ONLY: Final = "The database is read-only: signing in is not possible"

DELETE_EXPIRED = """
delete from browser_sessions
where expires_at <= :now
"""

DELETE_OLDEST = """
delete from browser_sessions
where key_digest = :key_digest
  and token_digest not in (
    select token_digest
    from browser_sessions
    where key_digest = :key_digest
    order by created_at desc, token_digest
    limit :remaining)
"""

INSERT = """
insert into browser_sessions (token_digest, key_digest, created_at, expires_at)
values (:token_digest, :key_digest, :now, :expires_at)
"""

SELECT_KEY_DIGEST = """
select key_digest
from browser_sessions
where token_digest = :token_digest
  and expires_at > :now
"""

DELETE = """
delete from browser_sessions
where token_digest = :token_digest
"""


@dataclass(frozen=True, slots=True)
class BrowserSessions:
    """The browser sessions in a database. Timestamps are in milliseconds since the epoch."""

    db: Database

    def create(self, key_digest: str, *, now: int) -> str:
        """Create a session that expires after LIFETIME, and return its token, which has 256 random bits.

        Delete all expired sessions, and the oldest session of this key if the key already has MAX_SESSIONS.
        """
        token = secrets.token_urlsafe(32)

        def insert(at: Transaction) -> None:
            at.execute(DELETE_EXPIRED, now=now)
            at.execute(DELETE_OLDEST, key_digest=key_digest, remaining=MAX_SESSIONS - 1)
            at.execute(
                INSERT,
                token_digest=digest(token.encode()),
                key_digest=key_digest,
                now=now,
                expires_at=now + LIFETIME,
            )

        self.db.write(insert)
        return token

    def find_key_digest(self, token: str, *, now: int) -> str | None:
        """Return the digest of the session's key, or None if the session does not exist or has expired."""
        row = self.db.primary_row(SELECT_KEY_DIGEST, token_digest=digest(token.encode()), now=now)
        return None if row is None else row["key_digest"]

    def delete(self, token: str) -> None:
        """Delete the session if it exists."""
        self.db.write(lambda at: at.execute(DELETE, token_digest=digest(token.encode())))
