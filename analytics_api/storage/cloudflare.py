"""Statistics of an R2 bucket from Cloudflare's analytics: one small query, however many objects there are."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from ..errors import SettingError, StorageError
from .base import Clock, Statistics
from .http import Client, parse_url

# "Metrics and analytics" in R2's documentation, which leaves the dimension storageClass to the schema.
QUERY = """
query ($account: string!, $bucket: string!, $since: Time!, $until: Time!) {
  viewer {
    accounts(filter: {accountTag: $account}) {
      r2StorageAdaptiveGroups(
        limit: 1000
        filter: {bucketName: $bucket, datetime_geq: $since, datetime_leq: $until}
        orderBy: [datetime_DESC]
      ) {
        max { objectCount }
        dimensions { datetime storageClass }
      }
    }
  }
}
"""
LOOK_BACK = timedelta(days=3)  # a figure is of a day, and comes when that is over


class Analytics:
    """The objects of a bucket as Cloudflare counted them last, and the sessions that would make.

    It is the whole bucket that is counted, and a day late. A bucket under a jurisdiction is named with it:
    `eu_NAME`. The token needs nothing but Account Analytics: Read. `objects_per_session` is asked each time
    for the ratio that a listing measured; None, as long as none did, leaves the sessions unknown. Cloudflare
    takes 300 queries in 5 minutes.
    """

    def __init__(
        self,
        account: str,
        bucket: str,
        token: str,
        *,
        objects_per_session: Callable[[], float | None] = lambda: None,
        endpoint: str = "https://api.cloudflare.com/client/v4/graphql",
        timeout: float = 10.0,
        deadline: float = 30.0,
        clock: Clock = time.time,
    ) -> None:
        if not account or not bucket:
            raise SettingError("Cloudflare's analytics need the account's id and the bucket's name")
        if not re.fullmatch("[!-~]+", token):
            raise SettingError("The token for Cloudflare's analytics is empty or holds blanks")
        self._account = account
        self._bucket = bucket
        self._token = token
        self._objects_per_session = objects_per_session
        self._endpoint = parse_url(endpoint, "The endpoint of Cloudflare's analytics")
        self._timeout = timeout
        self._deadline = deadline
        self._clock = clock
        self.source = f"Cloudflare's analytics of {account}/{bucket}"

    def __repr__(self) -> str:
        return f"<Analytics {self.source}>"

    def statistics(self) -> Statistics:
        """Ask now; both numbers are None where Cloudflare has no figure of the bucket. Raises `StorageError`.

        `taken_at` is when it was asked, as with the other providers, and not the day that the figure is of.
        """
        now = self._clock()
        objects = self._objects(datetime.fromtimestamp(now, timezone.utc))
        ratio = None if objects is None else self._objects_per_session()
        sessions = round(objects / ratio) if objects is not None and ratio is not None and ratio > 0 else None
        return Statistics(objects, sessions, int(now * 1000))

    def _objects(self, now: datetime) -> int | None:
        variables = {
            "account": self._account,
            "bucket": self._bucket,
            "since": f"{now - LOOK_BACK:%Y-%m-%dT%H:%M:%SZ}",
            "until": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        }
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        body = json.dumps({"query": QUERY, "variables": variables}).encode()
        with Client(self._endpoint, timeout=self._timeout, deadline=self._deadline) as client:
            status, content = client.fetch("POST", self._endpoint.path or "/", lambda: headers, body)
        if status in (401, 403):
            raise StorageError(f"Cloudflare refuses the token ({status}), which needs Account Analytics: Read")
        try:
            rows = _rows(status, json.loads(content))
            # A storage class has a row a day, and each row is all that the class held then.
            newest = {row["dimensions"]["storageClass"]: row["max"]["objectCount"] for row in rows}
            return sum(map(int, newest.values())) if newest else None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StorageError(f"Cloudflare's analytics answer {status}, and not as documented") from error


def _rows(status: int, answer: Any) -> list[Any]:
    """The rows of a reply, oldest first; its errors, which may come with 200 too, are raised.

    After "Error responses" in the documentation of the GraphQL Analytics API.
    """
    if status != 200 or answer.get("errors"):
        message = " ".join(answer["errors"][0]["message"].split())
        raise StorageError(f"Cloudflare's analytics answer {status}: {message[:200]}")
    accounts = answer["data"]["viewer"]["accounts"]
    if not accounts:
        raise StorageError("Cloudflare's analytics know no such account")
    return sorted(accounts[0]["r2StorageAdaptiveGroups"], key=lambda row: str(row["dimensions"]["datetime"]))
