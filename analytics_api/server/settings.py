"""Parse the settings. Only this module and the modules `…_setting.py` read environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..app import QUERY_TIMEOUT, create_app
from ..collector import Collector, create_collector
from ..collector.hosts import Hosts
from ..collector.machines import require_crawler_list
from ..collector.networks import Countries, Networks
from ..database import POSTGRESQL, Database, open_database
from ..errors import DatabaseError, SettingError
from ..http.downloads import EXPORT_TIMEOUT, MAX_EXPORTS
from ..middleware.cors import normalize_origin
from ..storage import StorageStats, open_storage
from ..storage.base import session_pattern
from ..storage.snapshot import MAX_AGE
from .api_key_setting import MAKE_A_KEY, find_mistakes, read_keys
from .database_setting import DATABASE, read_database, require_folder
from .serve import build_server_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MIN_PUBLIC_KEY_LENGTH = 20  # characters; a shorter key is rejected if other machines can connect

VARIABLES = (
    "ANALYTICS_API_KEY",
    "ANALYTICS_API_KEY_FILE",
    "ANALYTICS_COLLECT_CONTACT_IP",
    "ANALYTICS_COLLECT_HOSTS",
    "ANALYTICS_COLLECT_VPN_LIST",
    "ANALYTICS_CORS_ORIGINS",
    "ANALYTICS_DASHBOARD",
    "ANALYTICS_DATABASE",
    "ANALYTICS_DATABASE_READ",
    "ANALYTICS_EXPORT_TIMEOUT",
    "ANALYTICS_GEOIP",
    "ANALYTICS_LOG_ADDRESS",
    "ANALYTICS_METRICS",
    "ANALYTICS_QUERY_TIMEOUT",
    "ANALYTICS_STORAGE",
    "ANALYTICS_STORAGE_MAX_AGE",
    "ANALYTICS_STORAGE_PATTERN",
    "ANALYTICS_TRUSTED_PROXIES",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Parsed and validated settings. Reading them opens no database and no storage."""

    api_keys: Mapping[str, str]  # key names to keys
    database: str = DATABASE
    database_read: str | None = None
    storage: StorageStats | None = None
    storage_max_age: int = MAX_AGE // 1000  # seconds
    cors_origins: Sequence[str] = ()
    export_timeout: int = EXPORT_TIMEOUT
    query_timeout: int = QUERY_TIMEOUT
    trusted_proxies: int = 0
    metrics: bool = False
    log_address: bool = False
    dashboard: bool = True
    collect_hosts: Sequence[str] = ()  # empty if the server does not collect
    collect_contact_ip: bool = True
    vpn_networks: Sequence[str] = ()
    geoip: str | None = None
    key_variable: str = field(default="ANALYTICS_API_KEY", compare=False)  # contains the keys, or names their file
    notes: Sequence[str] = field(default=(), compare=False)  # warnings about unknown or unused variables

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Parse the settings from environment variables.

        :raises SettingError: a variable is missing or invalid. The message begins with the variable, and ends with the
            unknown variables, because one of them may be a misspelling of the missing one.
        """
        try:
            return cls._read(environ)
        except SettingError as error:
            raise type(error)("; ".join([str(error), *_unknown_variables(environ)])) from error

    @classmethod
    def _read(cls, environ: Mapping[str, str]) -> Settings:
        key_variable, api_keys = read_keys(environ)
        return cls(
            api_keys=api_keys,
            database=read_database(environ),
            database_read=_database_read(environ),
            storage=storage(environ),
            storage_max_age=_parse_int(environ, "ANALYTICS_STORAGE_MAX_AGE", MAX_AGE // 1000, minimum=1),
            cors_origins=_cors_origins(environ),
            export_timeout=_parse_int(environ, "ANALYTICS_EXPORT_TIMEOUT", EXPORT_TIMEOUT, minimum=1),
            query_timeout=_parse_int(environ, "ANALYTICS_QUERY_TIMEOUT", QUERY_TIMEOUT, minimum=1),
            trusted_proxies=_parse_int(environ, "ANALYTICS_TRUSTED_PROXIES", 0, minimum=0),
            metrics=_metrics(environ),
            log_address=_parse_bool(environ, "ANALYTICS_LOG_ADDRESS", False),
            dashboard=_parse_bool(environ, "ANALYTICS_DASHBOARD", True),
            collect_hosts=_collect_hosts(environ),
            collect_contact_ip=_parse_bool(environ, "ANALYTICS_COLLECT_CONTACT_IP", True),
            vpn_networks=_vpn_networks(environ),
            geoip=_geoip(environ),
            key_variable=key_variable,
            notes=[*_unknown_variables(environ), *_unused_variables(environ)],
        )

    def open_database(self) -> Database:
        """Open the database, and create it if it does not exist.

        :raises DatabaseError: the database cannot be opened; the message begins with the variable's name.
        """
        try:
            return open_database(self.database, read_url=self.database_read)
        except DatabaseError as error:
            raise type(error)(f"ANALYTICS_DATABASE: {error}") from error

    def application(self, database: Database | None = None, *, max_exports: int = MAX_EXPORTS) -> WSGIApplication:
        """Return the WSGI application of the standalone server.

        :param database: an open database; None to open the database of the settings.
        :param max_exports: maximum number of concurrent exports in this process.
        :raises DatabaseError: the database cannot be opened.
        """
        if database is None:
            database = self.open_database()
        api = create_app(
            database,
            api_keys=self.api_keys,
            browser_sessions=self.dashboard,
            storage=self.storage,
            storage_max_age=self.storage_max_age,
            cors_origins=self.cors_origins,
            max_exports=max_exports,
            export_timeout=self.export_timeout,
            query_timeout=self.query_timeout,
            collect_hosts=self.collect_hosts,
        )
        return build_server_app(
            api,
            database,
            trusted_proxies=self.trusted_proxies,
            metrics=self.metrics,
            log_address=self.log_address,
            cors_origins=self.cors_origins,
            dashboard=self.dashboard,
            collector=self.collector(database),
        )

    def collector(self, database: Database) -> Collector | None:
        """Return the application that records visits, or None if ANALYTICS_COLLECT_HOSTS is not set."""
        if not self.collect_hosts:
            return None
        collector = create_collector(
            database,
            hosts=self.collect_hosts,
            trusted_proxies=self.trusted_proxies,
            contact_ip=self.collect_contact_ip,
            geoip=self.geoip,
            vpn_networks=self.vpn_networks,
        )
        collector.start()
        return collector

    def warnings(self) -> list[str]:
        """Return a warning for each setting that is valid but probably a mistake."""
        return [*find_mistakes(self.key_variable, self.api_keys), *self.notes]

    def reject_short_keys(self, bind: str) -> None:
        """Raise an error for short keys. Call this if other machines can connect to the server and guess keys.

        :param bind: the server's address, for the error message.
        :raises SettingError: a key has fewer than MIN_PUBLIC_KEY_LENGTH characters.
        """
        for name, key in self.api_keys.items():
            if len(key) < MIN_PUBLIC_KEY_LENGTH:
                raise SettingError(
                    f"{self.key_variable}: the key {name} has fewer than {MIN_PUBLIC_KEY_LENGTH} characters, "
                    f"and other machines can connect to {bind}; {MAKE_A_KEY}"
                )


def _database_read(environ: Mapping[str, str]) -> str | None:
    value = environ.get("ANALYTICS_DATABASE_READ", "").strip()
    if value and not (value.startswith(POSTGRESQL) and read_database(environ).startswith(POSTGRESQL)):
        raise SettingError(
            f"ANALYTICS_DATABASE_READ must be a URL that begins with {POSTGRESQL[0]}, and so must ANALYTICS_DATABASE"
        )
    return value or None


def storage(environ: Mapping[str, str], *, use_analytics: bool = True) -> StorageStats | None:
    """Return the provider of the storage statistics, or None if ANALYTICS_STORAGE is not set.

    :param use_analytics: whether to use CLOUDFLARE_API_TOKEN. If false, a bucket is always listed.
    """
    pattern = environ.get("ANALYTICS_STORAGE_PATTERN", "").strip() or None
    try:
        session_pattern(pattern, "")
    except SettingError as error:
        raise SettingError(f"ANALYTICS_STORAGE_PATTERN: {error}") from error
    value = environ.get("ANALYTICS_STORAGE", "").strip()
    if not value:
        return None
    provider = open_storage(
        value,
        access_key_id=environ.get("AWS_ACCESS_KEY_ID", "").strip(),
        secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", "").strip(),
        region=environ.get("AWS_REGION", "").strip() or "auto",
        cloudflare_token=environ.get("CLOUDFLARE_API_TOKEN", "").strip() if use_analytics else None,
        pattern=pattern,
    )
    if "://" not in value:
        require_folder("ANALYTICS_STORAGE", os.path.abspath(os.path.expanduser(value)))
    return provider


def _cors_origins(environ: Mapping[str, str]) -> Sequence[str]:
    origins = environ.get("ANALYTICS_CORS_ORIGINS", "").replace(",", " ").split()
    try:
        return [normalize_origin(text) for text in origins]
    except SettingError as error:
        raise SettingError(f"ANALYTICS_CORS_ORIGINS must be origins separated by spaces, or *: {error}") from error


def _collect_hosts(environ: Mapping[str, str]) -> Sequence[str]:
    hosts = tuple(environ.get("ANALYTICS_COLLECT_HOSTS", "").replace(",", " ").split())
    try:
        if hosts:
            Hosts(hosts)
            require_crawler_list()
    except SettingError as error:
        raise SettingError(f"ANALYTICS_COLLECT_HOSTS: {str(error).removeprefix('hosts: ')}") from error
    return hosts


def _vpn_networks(environ: Mapping[str, str]) -> Sequence[str]:
    path = environ.get("ANALYTICS_COLLECT_VPN_LIST", "").strip()
    if not path:
        return ()
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
        Networks(lines)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(f"ANALYTICS_COLLECT_VPN_LIST must name a file of networks: {path}: {reason}") from error
    except SettingError as error:
        raise SettingError(f"ANALYTICS_COLLECT_VPN_LIST: {path}: {error}") from error
    return tuple(lines)


def _geoip(environ: Mapping[str, str]) -> str | None:
    path = environ.get("ANALYTICS_GEOIP", "").strip()
    try:
        if path:
            Countries(path)
    except SettingError as error:
        raise SettingError(f"ANALYTICS_GEOIP: {error}") from error
    return path or None


def _metrics(environ: Mapping[str, str]) -> bool:
    is_enabled = _parse_bool(environ, "ANALYTICS_METRICS", False)
    if is_enabled and find_spec("prometheus_client") is None:
        raise SettingError(
            "ANALYTICS_METRICS needs a package; install it with: pip install '.[metrics]' in the source folder"
        )
    return is_enabled


def _parse_int(environ: Mapping[str, str], name: str, default: int, *, minimum: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if number < minimum:
        raise SettingError(f"{name} must be an integer of {minimum} or more, not {text!r}")
    return number


def _parse_bool(environ: Mapping[str, str], name: str, default: bool) -> bool:
    text = environ.get(name, "").strip()
    if text not in ("", "0", "1"):
        raise SettingError(f"{name} must be 0 or 1, not {text!r}")
    return text == "1" if text else default


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each unknown variable. The warning suggests the most similar known name.

    A variable is unknown if its name begins with ANALYTICS_, or is almost a known name, such as ANALYTIC_METRICS.
    """
    warnings = []
    for name in sorted(set(environ) - set(VARIABLES)):
        is_ours = name.startswith("ANALYTICS_")
        nearest = get_close_matches(name, VARIABLES, n=1, cutoff=0.8 if is_ours else 0.9)
        if is_ours or nearest:
            warnings.append(f"{name} is not a setting{f'; did you mean {nearest[0]}?' if nearest else ''}")
    return warnings


def _unused_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each storage setting that has no effect with the configured storage."""
    value = environ.get("ANALYTICS_STORAGE", "").strip()
    warnings = []
    if not value:
        warnings += [
            f"{name} has no effect: ANALYTICS_STORAGE is not set"
            for name in ("ANALYTICS_STORAGE_MAX_AGE", "ANALYTICS_STORAGE_PATTERN")
            if environ.get(name, "").strip()
        ]
    elif "://" not in value and environ.get("CLOUDFLARE_API_TOKEN", "").strip():
        warnings.append("CLOUDFLARE_API_TOKEN has no effect: ANALYTICS_STORAGE is a directory")
    return warnings
