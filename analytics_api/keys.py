"""API keys with names and scopes. The database stores only the digest of a key."""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, get_args

from .database import Database, Row, Transaction
from .errors import APIKeyError
from .values.calendar import utc_date

log = logging.getLogger(__name__)

# The messages of a 401. Clients compare them, so they must not change.
MISSING_KEY: Final = "API key required. Use Authorization: Bearer <key> or X-API-Key header."
INVALID_KEY: Final = "Invalid API key"

Scope = Literal["stats", "leads:read", "leads:write"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ALL_SCOPES: Final[frozenset[str]] = frozenset(SCOPES)
PREFIX_LENGTH: Final = 8  # number of characters of a key that `keys list` shows
RESERVED_NAME: Final = re.compile("key-[0-9]+")  # names of keys from the settings

INSERT_KEY = """
insert into api_keys (name, prefix, digest, scopes, created_at, expires_at)
values (:name, :prefix, :digest, :scopes, :created_at, :expires_at)
on conflict (name) do nothing
"""

# A replaced key is renamed, because names must be unique. The new name is the old name, this character, and the first
# 16 characters of the digest. The character is not printable, so no other name contains it.
REPLACED: Final = "\x1f"

SELECT_KEYS = """
select name, prefix, scopes, created_at, expires_at, revoked_at, last_used_on
from api_keys
"""

SELECT_KEY = """
select digest, scopes, expires_at, revoked_at
from api_keys
where name = :name
"""

REPLACE_KEY = """
update api_keys
set name = :replaced_name,
  expires_at = :expires_at,
  revoked_at = :revoked_at
where name = :name
"""

# Also revokes the older keys of this name, which `keys rotate` has replaced.
REVOKE_KEY = """
update api_keys
set revoked_at = :revoked_at
where (name = :name or substr(name, 1, cast(:length as integer)) = :replaced)
  and revoked_at is null
"""

SELECT_ACTIVE = """
select name, scopes, expires_at, last_used_on
from api_keys
where digest = :digest
  and revoked_at is null
"""

# Deletes the sessions of browsers that signed in with the key, or with an older key of this name.
DELETE_SESSIONS = """
delete from browser_sessions
where key_digest in (
  select digest
  from api_keys
  where name = :name or substr(name, 1, cast(:length as integer)) = :replaced)
"""

TOUCH = """
update api_keys
set last_used_on = :day
where name = :name
"""


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated client of a request.

    :param name: the name that the status history records for a change.
    :param scopes: the scopes that the client has.
    :param expires_at: when the key expires, in milliseconds since the epoch; None if it does not expire.
    """

    name: str
    scopes: frozenset[str] = ALL_SCOPES
    expires_at: int | None = None


@dataclass
class KeyStore:
    """The API keys in a database. An added or revoked key takes effect in every process with the next request."""

    db: Database
    _recorded: dict[str, str] = field(default_factory=dict)  # name -> last day of use that this process wrote

    def add(self, name: str, scopes: Iterable[str], *, now: int, expires_at: int | None = None) -> str:
        """Create a key and return it. Only its digest is stored.

        :param now: the current time in milliseconds since the epoch.
        :param expires_at: when the key expires, in milliseconds since the epoch; None if it does not expire.
        :raises APIKeyError: the name belongs to another key (even a revoked one), is reserved or is not printable; a
            scope is not one of SCOPES; or `expires_at` is not in the future.
        """
        requested = set(scopes)
        if not name.strip() or not name.isprintable():
            raise APIKeyError("name: use printable characters")
        if RESERVED_NAME.fullmatch(name):
            raise APIKeyError(f"name: {name} is reserved for the keys from the settings; choose another")
        if not requested or requested - ALL_SCOPES:
            raise APIKeyError(f"scopes: use one or more of {', '.join(SCOPES)}")
        if expires_at is not None and expires_at <= now:
            raise APIKeyError(f"expires: {utc_date(expires_at)} is not in the future")
        key = generate_key()
        ordered = " ".join(scope for scope in SCOPES if scope in requested)

        def insert(at: Transaction) -> None:
            if not _insert(at, key, name, ordered, now, expires_at):
                _reject_revoked(at.row(SELECT_KEY, name=name), name)
                raise APIKeyError(f"name: {name} is already the name of a key; use `keys rotate` to replace that key")

        self.db.write(insert)
        return key

    def rotate(self, name: str, *, now: int, overlap: int = 0, expires_at: int | None = None) -> str:
        """Replace a key by a new one with the same name and scopes, and return the new key.

        :param overlap: milliseconds for which the old key remains valid; if 0, the old key is revoked.
        :param expires_at: when the new key expires; None for the same instant as the old key.
        :raises APIKeyError: no key has this name, the key is revoked, or the new key would already be expired.
        """
        _reject_reserved(name)
        key = generate_key()

        def replace(at: Transaction) -> None:
            old = at.row(SELECT_KEY, name=name)
            if old is None:
                raise APIKeyError(f"name: there is no key named {name}")
            _reject_revoked(old, name)
            expiry = old["expires_at"] if expires_at is None else expires_at
            if expiry is not None and expiry <= now:
                raise APIKeyError(f"expires: {utc_date(expiry)} is not in the future; give the new key a later day")
            at.execute(
                REPLACE_KEY,
                name=name,
                replaced_name=f"{name}{REPLACED}{old['digest'][:16]}",
                expires_at=min(old["expires_at"] or now + overlap, now + overlap) if overlap else old["expires_at"],
                revoked_at=None if overlap else now,
            )
            _insert(at, key, name, old["scopes"], now, expiry)

        self.db.write(replace)
        return key

    def list(self, *, now: int) -> list[Row]:
        """Return all keys, including revoked ones, without digests. Sort them by name, then by creation time.

        `state` is `active`, `replaced` (valid until `expires_at`), `expired` or `revoked`.
        """
        rows = self.db.rows(SELECT_KEYS)
        rows.sort(key=lambda row: (_public_name(row["name"]), row["created_at"], REPLACED not in row["name"]))
        return [{**row, "name": _public_name(row["name"]), "state": _state(row, now)} for row in rows]

    def revoke(self, name: str, *, now: int) -> None:
        """Revoke a key and all older keys that it replaced, and delete their browser sessions.

        :raises APIKeyError: no active key has this name.
        """
        _reject_reserved(name)
        replaced = name + REPLACED
        which = {"name": name, "replaced": replaced, "length": len(replaced)}

        def revoke(at: Transaction) -> int:
            at.execute(DELETE_SESSIONS, **which)
            return at.execute(REVOKE_KEY, **which, revoked_at=now)

        if not self.db.write(revoke):
            raise APIKeyError(f"name: there is no active key named {name}")

    def find(self, key_digest: str, *, now: int) -> Principal | None:
        """Return the Principal of the key with this digest, or None if the key is unknown, revoked or expired.

        The query is the same in all cases, so the response time does not tell whether an invalid key was once valid.
        """
        row = self.db.primary_row(SELECT_ACTIVE, digest=key_digest)
        if row is None or (row["expires_at"] is not None and row["expires_at"] <= now):
            return None
        self._record_use(row, utc_date(now))
        return Principal(_public_name(row["name"]), frozenset(row["scopes"].split()), row["expires_at"])

    def _record_use(self, row: Row, day: str) -> None:
        """Write the day of the key's last use, at most once a day. A background thread writes it."""
        name = row["name"]
        if row["last_used_on"] == day or self._recorded.get(name) == day:
            return
        self._recorded[name] = day

        def write() -> None:
            try:
                self.db.write(lambda at: at.execute(TOUCH, name=name, day=day))
            except Exception:
                log.warning("last use of the key %s was not recorded", name, exc_info=True)

        threading.Thread(target=write, name="key-use", daemon=True).start()


def generate_key() -> str:
    """Return a new random key."""
    return "ana_" + secrets.token_urlsafe(32)


def _insert(at: Transaction, key: str, name: str, scopes: str, now: int, expires_at: int | None) -> int:
    return at.execute(
        INSERT_KEY,
        name=name,
        prefix=key[:PREFIX_LENGTH],
        digest=digest(key.encode()),
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
    )


def _reject_reserved(name: str) -> None:
    if RESERVED_NAME.fullmatch(name):
        raise APIKeyError(
            f"name: {name} is a key from the settings; change it in ANALYTICS_API_KEY, or in the file that "
            "ANALYTICS_API_KEY_FILE names"
        )


def _reject_revoked(key: Row | None, name: str) -> None:
    if key is not None and key["revoked_at"] is not None:
        raise APIKeyError(f"name: the key {name} is revoked; use `keys add` with another name")


def _public_name(name: str) -> str:
    return name.partition(REPLACED)[0]


def _state(row: Row, now: int) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    if row["expires_at"] is not None and row["expires_at"] <= now:
        return "expired"
    return "replaced" if REPLACED in row["name"] else "active"


def digest(key: bytes) -> str:
    """Return the SHA-256 of a key in hexadecimal. A key is too random to be guessed from its digest."""
    return sha256(key).hexdigest()
