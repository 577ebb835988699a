"""How the tests ask: as a dashboard with a key, of an application that stands under a sub-path."""

from datetime import datetime, timedelta, timezone
from wsgiref.validate import validator

from werkzeug.datastructures import Headers
from werkzeug.test import Client

KEY = "a-key-that-only-the-tests-know"
MOUNT = "/under/a/path"

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant(text):
    """The milliseconds since the epoch of `2026-02-24 15:00:00` or `2026-02-24 15:00:00.123`, UTC."""
    return (datetime.fromisoformat(f"{text}+00:00") - EPOCH) // timedelta(milliseconds=1)


NOW = instant("2026-02-24 15:00:00")  # a Tuesday


class APIClient(Client):
    """A client whose every request has a key, is below MOUNT and is checked against the WSGI specification."""

    def __init__(self, application):
        super().__init__(validator(application))

    def open(self, path="/", *, key=KEY, headers=(), buffered=True, **options):
        headers = Headers(headers)
        if key is not None:
            headers.setdefault("X-API-Key", key)
        return super().open(
            path, base_url=f"http://shop.example{MOUNT}/", headers=headers, buffered=buffered, **options
        )
