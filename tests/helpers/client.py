"""A test client with an API key, for an application mounted at a sub-path; and a fixed clock."""

from datetime import datetime, timedelta, timezone
from wsgiref.validate import validator

from werkzeug.datastructures import Headers
from werkzeug.test import Client

KEY = "a-key-that-only-the-tests-know"
MOUNT = "/under/a/path"

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant(text):
    """Convert `2026-02-24 15:00:00` or `2026-02-24 15:00:00.123`, UTC, to milliseconds since the epoch."""
    return (datetime.fromisoformat(f"{text}+00:00") - EPOCH) // timedelta(milliseconds=1)


NOW = instant("2026-02-24 15:00:00")  # a Tuesday


class APIClient(Client):
    """A test client that sends a key with every request, at a path below MOUNT.

    It validates requests and responses against the WSGI specification. It does not store cookies.
    """

    def __init__(self, application):
        super().__init__(validator(application), use_cookies=False)

    def open(self, path="/", *, key=KEY, headers=(), buffered=True, **options):
        headers = Headers(headers)
        if key is not None:
            headers.setdefault("X-API-Key", key)
        return super().open(
            path, base_url=f"http://shop.example{MOUNT}/", headers=headers, buffered=buffered, **options
        )
