"""The setting ANALYTICS_STORAGE selects the provider. An invalid value raises a one-line error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.storage_servers import KEY_ID, S3, SECRET

from analytics_api.errors import SettingError
from analytics_api.storage import StorageStats, open_storage


def opened(setting: str) -> StorageStats:
    return open_storage(setting, access_key_id=KEY_ID, secret_access_key=SECRET)


@pytest.mark.parametrize(
    ("setting", "provider"),
    [
        ("/var/recordings", "<Directory /var/recordings>"),
        ("https://ACCOUNT.r2.example/BUCKET", "<Bucket https://ACCOUNT.r2.example/BUCKET>"),
        ("https://r2.example/b/", "<Bucket https://r2.example/b>"),
        ("HTTP://127.0.0.1:9000/b", "<Bucket http://127.0.0.1:9000/b>"),
        ("https://s3.example/storage/v1/s3/b", "<Bucket https://s3.example/storage/v1/s3/b>"),
        ("https://r2.example/b?prefix=a/b/", "<Bucket https://r2.example/b?prefix=a/b/>"),
        (
            "https://r2.example/b?prefix=a+b%2Bc%20d=%26?/",
            "<Bucket https://r2.example/b?prefix=a%2Bb%2Bc%20d%3D%26%3F/>",
        ),
        ("https://r2.example/b?prefix=", "<Bucket https://r2.example/b>"),
        ("https://r2.example/b?", "<Bucket https://r2.example/b>"),
        ("https://[::1]:9000/b", "<Bucket https://[::1]:9000/b>"),
    ],
)
def test_path_opens_a_directory_and_url_opens_a_bucket(setting: str, provider: str) -> None:
    assert repr(opened(setting)) == provider


def test_source_has_place_and_pattern_but_no_secret() -> None:
    settings = ["/var/recordings", "https://r2.example/b", "https://r2.example/b?prefix=a/"]
    patterns = [None, "(?P<session>.+)"]

    opened = [
        repr(open_storage(setting, access_key_id=KEY_ID, secret_access_key=SECRET, pattern=pattern))
        for setting in settings
        for pattern in patterns
    ]

    assert opened == [
        "<Directory /var/recordings>",
        "<Directory /var/recordings (?P<session>.+)>",
        "<Bucket https://r2.example/b>",
        "<Bucket https://r2.example/b (?P<session>.+)>",
        "<Bucket https://r2.example/b?prefix=a/>",
        "<Bucket https://r2.example/b?prefix=a/ (?P<session>.+)>",
    ]


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "s3://bucket/prefix",
        "ftp://host/bucket",
        "a\0b",
        "https://",
        "https:///bucket",
        "https://r2.example",
        "https://r2.example/",
        "https://r2.example:port/b",
        "https://r2.example:99999/b",
        "https://r2..example/b",
        "https://r\u00e9.example/b",
        "https://[::1/b",
        "https://user:hunter2@r2.example/b",
        "https://r2.example/b#hunter2",
        "https://r2.example/b?prefix=a#hunter2",
        "https://r2.example/b?prefix=a&X-Amz-Signature=hunter2",
        "https://r2.example/b?X-Amz-Signature=hunter2",
        "https://r2.example/b?hunter2",
    ],
)
def test_invalid_storage_fails_in_one_line_with_the_setting(setting: str) -> None:
    with pytest.raises(SettingError, match="ANALYTICS_STORAGE") as caught:
        opened(setting)

    text = str(caught.value)
    assert "\n" not in text
    assert "hunter2" not in text


def test_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SettingError, match="ANALYTICS_STORAGE must be a directory"):
        opened(str(tmp_path / "file"))


@pytest.mark.parametrize(("key_id", "secret"), [(None, None), (KEY_ID, None), (None, SECRET), ("", SECRET)])
def test_bucket_needs_an_access_key(key_id: str | None, secret: str | None) -> None:
    with pytest.raises(SettingError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as caught:
        open_storage("https://r2.example/b", access_key_id=key_id, secret_access_key=secret)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("blank", ["\n", " ", "\u00e9"])
def test_access_key_with_a_blank_is_not_in_the_error(blank: str) -> None:
    with pytest.raises(SettingError, match="AWS_SECRET_ACCESS_KEY") as caught:
        open_storage("https://r2.example/b", access_key_id=KEY_ID, secret_access_key=SECRET + blank)

    assert SECRET not in str(caught.value)


def test_bad_pattern_is_rejected_at_once() -> None:
    with pytest.raises(SettingError, match="session pattern"):
        open_storage("/var/recordings", pattern="(.+)")


def test_opened_bucket_uses_prefix_and_pattern(s3: S3) -> None:
    s3.fill("opened", ["site 1/x_0", "site 1/x_1", "site 1/y_0", "site 2/z_0"])

    storage = open_storage(
        f"{s3.url}/opened?prefix=site%201/",
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        pattern=r"\A(?P<session>\w)_",
    )

    statistics = storage.statistics()
    assert (statistics.total_objects, statistics.estimated_sessions) == (3, 2)


def test_directory_does_not_import_the_bucket_modules() -> None:
    code = (
        "import analytics_api.storage as s, sys; s.open_storage('.'); print('analytics_api.storage.s3' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
