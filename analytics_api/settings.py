"""The one reader of environment variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .app import create_app
from .cors import origin
from .database import open_database
from .errors import SettingError
from .server import standalone
from .storage import StorageStats, open_storage

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DATABASE = "analytics.db"

SHORT = 16  # characters; what is shorter can be guessed
WELL_KNOWN = frozenset({"changeme", "dev", "password", "secret", "test", "your-api-key", "your-api-key-here"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, read and checked; nothing is opened yet."""

    api_keys: Mapping[str, str]  # by name
    database: str = DATABASE
    database_read: str | None = None
    storage: StorageStats | None = None
    storage_max_age: int = 3600  # seconds
    cors_origins: Sequence[str] = ()
    trusted_proxies: int = 0
    metrics: bool = False

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """The settings of `environ`. Raises SettingError, naming the variable and what it takes."""
        return cls(
            api_keys={f"key-{number}": key for number, key in enumerate(_keys(environ), start=1)},
            database=database(environ),
            database_read=environ.get("ANALYTICS_DATABASE_READ", "").strip() or None,
            storage=storage(environ),
            storage_max_age=_whole(environ, "ANALYTICS_STORAGE_MAX_AGE", 3600, least=1),
            cors_origins=_origins(environ),
            trusted_proxies=_whole(environ, "ANALYTICS_TRUSTED_PROXIES", 0, least=0),
            metrics=bool(_whole(environ, "ANALYTICS_METRICS", 0, least=0, most=1)),
        )

    def application(self) -> WSGIApplication:
        """The API on what the settings name, and what a server of its own needs around it.

        Raises DatabaseError when the database can't be used.
        """
        database = open_database(self.database, read_url=self.database_read)
        api = create_app(
            database,
            api_keys=self.api_keys,
            storage=self.storage,
            storage_max_age=self.storage_max_age,
            cors_origins=self.cors_origins,
        )
        return standalone(api, database, trusted_proxies=self.trusted_proxies, metrics=self.metrics)

    def warnings(self) -> list[str]:
        """What is taken and had better be otherwise, a line each."""
        return [
            f"ANALYTICS_API_KEY: the key {name} is {fault}; make one with: openssl rand -hex 32"
            for name, key in self.api_keys.items()
            if (fault := _weakness(key))
        ]


def database(environ: Mapping[str, str]) -> str:
    """Where the database is: a path or a URL."""
    return environ.get("ANALYTICS_DATABASE", "").strip() or DATABASE


def _keys(environ: Mapping[str, str]) -> list[str]:
    given, path = environ.get("ANALYTICS_API_KEY", ""), environ.get("ANALYTICS_API_KEY_FILE", "").strip()
    if given.strip() and path:
        raise SettingError("ANALYTICS_API_KEY and ANALYTICS_API_KEY_FILE are both set; keep one of them")
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                given = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise SettingError(f"ANALYTICS_API_KEY_FILE takes a file that holds a key: {path}: {reason}") from error
    keys = given.split()
    if not keys:
        raise SettingError(
            f"ANALYTICS_API_KEY_FILE takes a file that holds a key: {path} is empty"
            if path
            else "ANALYTICS_API_KEY takes a key, or several between spaces, and is not set; "
            "ANALYTICS_API_KEY_FILE takes a file with the same"
        )
    return keys


def storage(environ: Mapping[str, str], *, counted: bool = True) -> StorageStats | None:
    """Who tells what lies in storage; None when nothing is set. Unless `counted`, a bucket is listed in any case."""
    setting = environ.get("ANALYTICS_STORAGE", "").strip()
    if not setting:
        return None
    return open_storage(
        setting,
        access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
        secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY"),
        region=environ.get("AWS_REGION", "").strip() or "auto",
        cloudflare_token=environ.get("CLOUDFLARE_API_TOKEN", "").strip() if counted else None,
        pattern=environ.get("ANALYTICS_STORAGE_PATTERN", "").strip() or None,
    )


def _origins(environ: Mapping[str, str]) -> Sequence[str]:
    origins = environ.get("ANALYTICS_CORS_ORIGINS", "").replace(",", " ").split()
    try:
        return [origin(text) for text in origins]
    except SettingError as error:
        raise SettingError(f"ANALYTICS_CORS_ORIGINS takes origins between spaces, or *: {error}") from error


def _whole(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int | None = None) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if number < least or (most is not None and number > most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise SettingError(f"{name} takes a whole number {bounds}, which {text!r} is not")
    return number


def _weakness(key: str) -> str:
    if key.lower() in WELL_KNOWN:
        return "a well-known word"
    if len(key) < SHORT:
        return f"shorter than {SHORT} characters"
    return ""
