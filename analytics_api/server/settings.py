"""The one reader of environment variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..app import create_app
from ..database import Database, open_database
from ..errors import SettingError
from ..middleware.cors import normalize_origin
from ..storage import StorageStats, open_storage
from ..storage.base import session_pattern
from .serve import build_server_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DATABASE = "analytics.db"
POSTGRESQL = ("postgresql://", "postgres://")

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
            database_read=_database_read(environ),
            storage=storage(environ),
            storage_max_age=_whole(environ, "ANALYTICS_STORAGE_MAX_AGE", 3600, least=1),
            cors_origins=_origins(environ),
            trusted_proxies=_whole(environ, "ANALYTICS_TRUSTED_PROXIES", 0, least=0),
            metrics=_metrics(environ),
        )

    def application(self, database: Database | None = None) -> WSGIApplication:
        """The API on what the settings name, and what a server of its own needs around it.

        On `database`, if it has been opened already. Raises DatabaseError when it can't be.
        """
        if database is None:
            database = open_database(self.database, read_url=self.database_read)
        api = create_app(
            database,
            api_keys=self.api_keys,
            storage=self.storage,
            storage_max_age=self.storage_max_age,
            cors_origins=self.cors_origins,
        )
        return build_server_app(api, database, trusted_proxies=self.trusted_proxies, metrics=self.metrics)

    def warnings(self) -> list[str]:
        """What is taken and had better be otherwise, a line each."""
        return [
            f"ANALYTICS_API_KEY: the key {name} is {fault}; make one with: openssl rand -hex 32"
            for name, key in self.api_keys.items()
            if (fault := _weakness(key))
        ]


def database(environ: Mapping[str, str]) -> str:
    """Where the database is: a path or a URL."""
    given = environ.get("ANALYTICS_DATABASE", "").strip() or DATABASE
    if "://" in given and not given.startswith(POSTGRESQL):
        raise SettingError(f"ANALYTICS_DATABASE takes the path of an SQLite file, or a URL that begins {POSTGRESQL[0]}")
    return given


def _database_read(environ: Mapping[str, str]) -> str | None:
    given = environ.get("ANALYTICS_DATABASE_READ", "").strip()
    if given and not (given.startswith(POSTGRESQL) and database(environ).startswith(POSTGRESQL)):
        raise SettingError(
            f"ANALYTICS_DATABASE_READ takes a URL that begins {POSTGRESQL[0]}, beside another in ANALYTICS_DATABASE"
        )
    return given or None


def _keys(environ: Mapping[str, str]) -> list[str]:
    given, path = environ.get("ANALYTICS_API_KEY", ""), environ.get("ANALYTICS_API_KEY_FILE", "").strip()
    if given.strip() and path:
        raise SettingError("ANALYTICS_API_KEY and ANALYTICS_API_KEY_FILE are both set; keep one of them")
    if path:
        try:
            with open(path, encoding="utf-8-sig") as file:
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
    pattern = environ.get("ANALYTICS_STORAGE_PATTERN", "").strip() or None
    try:
        session_pattern(pattern, "")
    except SettingError as error:
        raise SettingError(f"ANALYTICS_STORAGE_PATTERN: {error}") from error
    return open_storage(
        setting,
        access_key_id=environ.get("AWS_ACCESS_KEY_ID", "").strip(),
        secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", "").strip(),
        region=environ.get("AWS_REGION", "").strip() or "auto",
        cloudflare_token=environ.get("CLOUDFLARE_API_TOKEN", "").strip() if counted else None,
        pattern=pattern,
    )


def _origins(environ: Mapping[str, str]) -> Sequence[str]:
    origins = environ.get("ANALYTICS_CORS_ORIGINS", "").replace(",", " ").split()
    try:
        return [normalize_origin(text) for text in origins]
    except SettingError as error:
        raise SettingError(f"ANALYTICS_CORS_ORIGINS takes origins between spaces, or *: {error}") from error


def _metrics(environ: Mapping[str, str]) -> bool:
    wanted = bool(_whole(environ, "ANALYTICS_METRICS", 0, least=0, most=1))
    if wanted and find_spec("prometheus_client") is None:
        raise SettingError("ANALYTICS_METRICS needs what comes with: pip install 'analytics_api[metrics]'")
    return wanted


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
