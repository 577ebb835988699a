"""Statistics of an R2 bucket from Cloudflare's analytics. One query suffices for any number of objects."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from ..errors import SettingError, StorageError
from .base import Clock, Statistics
from .http import Client, parse_url

# See "Metrics and analytics" in R2's documentation. Only the GraphQL schema documents the dimension storageClass.
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
LOOK_BACK = timedelta(days=3)  # the number of objects on a day is available only after that day


class Analytics:
    """The number of objects in a bucket according to Cloudflare's analytics. This number may be a day old.

    The number of sessions is unknown. `Snapshot` estimates the sessions from the objects per session in an earlier
    listing. Cloudflare allows 300 queries in 5 minutes.

    :param bucket: name of the bucket. In a jurisdiction, it has a prefix, such as `eu_NAME`.
    :param token: an API token with the permission Account Analytics: Read.
    """

    def __init__(
        self,
        account: str,
        bucket: str,
        token: str,
        *,
        endpoint: str = "https://api.cloudflare.com/client/v4/graphql",
        timeout: float = 10.0,
        deadline: float = 30.0,
        clock: Clock = time.time,
    ) -> None:
        if not account or not bucket:
            raise SettingError("Cloudflare's analytics need the id of the account and the name of the bucket")
        if not re.fullmatch("[!-~]+", token):
            raise SettingError(
                "The token for Cloudflare's analytics is empty, or contains whitespace or non-ASCII characters"
            )
        self._account = account
        self._bucket = bucket
        self._token = token
        self._endpoint = parse_url(endpoint, "The endpoint of Cloudflare's analytics")
        self._timeout = timeout
        self._deadline = deadline
        self._clock = clock
        self.source = f"Cloudflare's analytics of {account}/{bucket}"

    def __repr__(self) -> str:
        return f"<Analytics {self.source}>"

    def statistics(self) -> Statistics:
        """Query the number of objects, which is None if Cloudflare has no number for the bucket.

        `taken_at` is the time of the query, not the time at which Cloudflare counted.

        :raises StorageError: the query failed.
        """
        now = self._clock()
        objects = self._query_objects(datetime.fromtimestamp(now, timezone.utc))
        return Statistics(objects, None, int(now * 1000))

    def _query_objects(self, now: datetime) -> int | None:
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
            raise StorageError(f"Cloudflare rejects the token ({status}); it needs Account Analytics: Read")
        try:
            rows = _rows(status, json.loads(content))
            # There is one row for each day and storage class, with the number of objects on that day. The rows are
            # sorted by day, so the dictionary keeps the number of the last day for each storage class.
            newest = {row["dimensions"]["storageClass"]: row["max"]["objectCount"] for row in rows}
            return sum(map(int, newest.values())) if newest else None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StorageError(f"Cloudflare's analytics sent an unexpected response with status {status}") from error


def _rows(status: int, answer: Any) -> list[Any]:
    """Return the rows of a response, oldest first.

    A response with any status may contain errors; see "Error responses" in the documentation of the GraphQL Analytics
    API.

    :raises StorageError: the response contains errors.
    """
    if status != 200 or answer.get("errors"):
        message = " ".join(answer["errors"][0]["message"].split())
        raise StorageError(f"Cloudflare's analytics returned {status}: {message[:200]}")
    accounts = answer["data"]["viewer"]["accounts"]
    if not accounts:
        raise StorageError("Cloudflare's analytics do not know this account")
    return sorted(accounts[0]["r2StorageAdaptiveGroups"], key=lambda row: str(row["dimensions"]["datetime"]))
