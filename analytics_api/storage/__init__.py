"""Statistics of the object storage: who can take them, and which of them a setting asks for."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from ..errors import SettingError
from .base import Statistics as Statistics
from .base import StorageStats as StorageStats
from .base import session_pattern

_TAKES = (
    "ANALYTICS_STORAGE takes a directory, or a bucket's URL such as"
    " https://ACCOUNT.r2.cloudflarestorage.com/BUCKET, which ?prefix=FOLDER/ may follow"
)


def open_storage(
    setting: str,
    *,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    region: str = "auto",
    cloudflare_token: str | None = None,
    deadline: float = 3600.0,
    pattern: str | re.Pattern[str] | None = None,
) -> StorageStats:
    """The provider that a value of ANALYTICS_STORAGE asks for; nothing is looked at before its `statistics`.

    A bucket's URL is path style: its last segment is the bucket, those before it are a path of the endpoint's
    own. The key prefix is its query, `?prefix=…`, in which %XX is decoded and `+` is a plus. Anything else is
    a directory, which may come into being later; `~` is the home. With `cloudflare_token` a bucket of R2 is not
    listed: Cloudflare's analytics are asked for its objects. Raises `SettingError` for what is neither, for a
    bucket without its key, and for a bad pattern.
    """
    session_pattern(pattern, "")
    if not re.match("https?://", setting, re.IGNORECASE):
        path = os.path.expanduser(setting)
        if not path or "\0" in path or "://" in path or (os.path.exists(path) and not os.path.isdir(path)):
            raise SettingError(_TAKES)
        from .directory import Directory

        return Directory(path, pattern=pattern)
    if cloudflare_token:
        return _analytics(setting, cloudflare_token)
    if not access_key_id or not secret_access_key:
        raise SettingError("ANALYTICS_STORAGE is a bucket, which takes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    from .s3 import Bucket

    url, _, query = setting.partition("?")
    name, _, prefix = query.partition("=")
    if query and (name != "prefix" or re.search("[&#]", prefix)):
        raise SettingError(f"{_TAKES} (& and # in it are written %26 and %23)")
    try:
        return Bucket(
            url,
            prefix=unquote(prefix),
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            region=region,
            deadline=deadline,
            pattern=pattern,
        )
    except SettingError as error:
        raise SettingError(f"ANALYTICS_STORAGE: {error}") from error


def _analytics(setting: str, token: str) -> StorageStats:
    """Cloudflare's analytics of the bucket of an R2 URL."""
    bucket = re.fullmatch(
        r"https://(?P<account>[0-9a-z]+)\.(?:(?P<jurisdiction>[a-z]+)\.)?r2\.cloudflarestorage\.com/(?P<name>[^/?]+)/?",
        setting,
        re.IGNORECASE,
    )
    if bucket is None:
        raise SettingError(
            "CLOUDFLARE_API_TOKEN counts whole buckets of R2: ANALYTICS_STORAGE takes"
            " https://ACCOUNT.r2.cloudflarestorage.com/BUCKET with it"
        )
    from .cloudflare import Analytics

    jurisdiction = f"{bucket['jurisdiction']}_" if bucket["jurisdiction"] else ""
    return Analytics(bucket["account"], jurisdiction + unquote(bucket["name"]), token)
