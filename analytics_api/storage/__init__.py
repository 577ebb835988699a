"""Create the provider of the storage statistics from a setting."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from ..errors import SettingError
from .base import Statistics as Statistics
from .base import StorageStats as StorageStats
from .base import session_pattern

_EXPECTED = (
    "ANALYTICS_STORAGE must be a directory, or a bucket's URL such as"
    " https://ACCOUNT.r2.cloudflarestorage.com/BUCKET, optionally with ?prefix=FOLDER/"
)


def open_storage(
    setting: str,
    *,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    region: str = "auto",
    cloudflare_token: str | None = None,
    pattern: str | re.Pattern[str] | None = None,
) -> StorageStats:
    """Return the provider for a value of ANALYTICS_STORAGE. The storage is not opened before `statistics` is called.

    A value that begins with http:// or https:// is the path-style URL of a bucket: the last segment of the path is the
    name of the bucket. The query `?prefix=…` selects keys by prefix. In the prefix, %XX is decoded, and `+` is a plus
    sign. Any other value is a directory, which need not exist yet. `~` is the home directory.

    :param cloudflare_token: if set, get the number of objects in an R2 bucket from Cloudflare's analytics instead of
        listing the bucket.
    :param pattern: a regular expression for the session in a key; see `session_pattern`.
    :raises SettingError: the setting is neither a directory nor a bucket, a bucket has no access key, or the pattern is
        invalid.
    """
    session_pattern(pattern, "")
    if not re.match("https?://", setting, re.IGNORECASE):
        path = os.path.expanduser(setting)
        if not path or "\0" in path or "://" in path or (os.path.exists(path) and not os.path.isdir(path)):
            raise SettingError(_EXPECTED)
        from .directory import Directory

        return Directory(path, pattern=pattern)
    if cloudflare_token:
        return _analytics(setting, cloudflare_token)
    if not access_key_id or not secret_access_key:
        raise SettingError("ANALYTICS_STORAGE is a bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, too")
    from .s3 import Bucket

    url, _, query = setting.partition("?")
    name, _, prefix = query.partition("=")
    if query and (name != "prefix" or re.search("[&#]", prefix)):
        raise SettingError(f"{_EXPECTED}; in FOLDER, write & and # as %26 and %23")
    try:
        return Bucket(
            url,
            prefix=unquote(prefix),
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            region=region,
            pattern=pattern,
        )
    except SettingError as error:
        raise SettingError(f"ANALYTICS_STORAGE: {error}") from error


def _analytics(setting: str, token: str) -> StorageStats:
    """Return the provider that queries Cloudflare's analytics for the bucket in a URL of R2."""
    bucket = re.fullmatch(
        r"https://(?P<account>[0-9a-z]+)\.(?:(?P<jurisdiction>[a-z]+)\.)?r2\.cloudflarestorage\.com/(?P<name>[^/?]+)/?",
        setting,
        re.IGNORECASE,
    )
    if bucket is None:
        raise SettingError(
            "CLOUDFLARE_API_TOKEN is for whole R2 buckets: ANALYTICS_STORAGE must be"
            " https://ACCOUNT.r2.cloudflarestorage.com/BUCKET"
        )
    from .cloudflare import Analytics

    jurisdiction = f"{bucket['jurisdiction']}_" if bucket["jurisdiction"] else ""
    return Analytics(bucket["account"], jurisdiction + unquote(bucket["name"]), token)
