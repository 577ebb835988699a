"""AWS Signature Version 4 for requests without a body.

See "Authenticating Requests: Using the Authorization Header" in the Amazon S3 API reference. A test checks the
signature in that document's example of a request that lists a bucket.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timezone

_NO_BODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Signer:
    """Sign requests with an access key for a region."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str

    def headers(self, method: str, host: str, path: str, query: str, now: float) -> dict[str, str]:
        """Return the headers that sign a request. Servers accept them for about 15 minutes after `now`.

        :param path: the path exactly as sent, percent-encoded except for letters, digits and `-._~/`.
        :param query: the query string exactly as sent, with the same encoding, sorted by name.
        :param now: seconds since the epoch.
        """
        instant = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{instant[:8]}/{self.region}/s3/aws4_request"
        headers = {"host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": instant}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{_NO_BODY}"
        text = f"AWS4-HMAC-SHA256\n{instant}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"{self.access_key_id}/{scope}"
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return headers
