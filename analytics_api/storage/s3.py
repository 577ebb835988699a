"""Statistics of a bucket in Cloudflare R2 or another S3 service, from a listing of its keys.

The listing uses only the standard library, because a listing by the package obstore (0.12) can be wrong. obstore fails
at a key with a newline, an empty segment (`a//b`) or a segment `.`. It ignores `IsTruncated`, so its listing ends too
early if a truncated page has no token. It treats XML without `Contents`, such as an `<Error>`, as an empty bucket.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import closing
from urllib.parse import quote, unquote, unquote_plus, urlencode
from xml.etree import ElementTree

from ..errors import SettingError, StorageError
from .base import Clock, Statistics, count, session_pattern
from .http import Client, parse_url
from .sigv4 import Signer


class Bucket:
    """Count the objects of a bucket. The last path segment of the URL is the name of the bucket.

    Listing n objects takes ceil(n / 1000) class A operations of R2. An instance can be used in any thread and after a
    fork, because no connection stays open between two listings.

    :param prefix: count only keys that begin with this text. `site1/` matches a folder; `site1` also matches
        `site10/…`. The session pattern is matched with the part of the key after the last `/` of the prefix. If
        the prefix ends with `sessions/`, this part may begin with the session id.
    :param timeout: maximum time in seconds of a request.
    :param deadline: maximum time in seconds of a listing.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "",
        access_key_id: str,
        secret_access_key: str,
        region: str = "auto",
        pattern: str | re.Pattern[str] | None = None,
        timeout: float = 30.0,
        deadline: float = 3600.0,
        clock: Clock = time.time,
    ) -> None:
        self._url = parse_url(url, "The bucket's URL")
        path = self._url.path.rstrip("/")
        if not path or "?" in url:
            raise SettingError("The bucket's URL must be https://HOST/BUCKET")
        # A trailing newline, for example from a secrets file, would cause a 403 that does not name the reason.
        if not all(re.fullmatch("[!-~]+", text) for text in (access_key_id, secret_access_key, region)):
            raise SettingError(
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_REGION is empty, "
                "or contains whitespace or non-ASCII characters"
            )
        folder = prefix.rpartition("/")[0]
        self._path = quote(unquote(path), safe="/")
        self._prefix = prefix
        self._prefix_length = len(folder) + 1 if folder else 0
        self._signer = Signer(access_key_id, secret_access_key, region)
        self._pattern = session_pattern(pattern, folder.rpartition("/")[2])
        self._timeout = timeout
        self._deadline = deadline
        self._clock = clock
        self._name = f"{self._url.scheme}://{self._url.netloc}{self._path}"
        location = f"{self._name}?prefix={quote(prefix)}" if prefix else self._name
        self.source = location if pattern is None else f"{location} {self._pattern.pattern}"

    def __repr__(self) -> str:
        return f"<Bucket {self.source}>"

    def statistics(self) -> Statistics:
        """List the bucket and count its objects and sessions.

        :raises StorageError: a request failed.
        """
        with closing(self._pages()) as pages:
            return count(pages, self._pattern, self._clock)

    def _pages(self) -> Generator[list[str], None, None]:
        token: str | None = None
        with Client(self._url, timeout=self._timeout, deadline=self._deadline) as client:
            while True:
                keys, following = self._page(client, token)
                yield [key[self._prefix_length :] for key in keys]
                if following is None:
                    return
                if following == token:
                    raise StorageError(f"{self._name} returned the same continuation token twice")
                token = following

    def _page(self, client: Client, token: str | None) -> tuple[list[str], str | None]:
        """Return the keys of a page and the token of the next one (ListObjectsV2 in the Amazon S3 API reference)."""
        params = [("encoding-type", "url"), ("list-type", "2"), ("prefix", self._prefix)]
        if token is not None:
            params.insert(0, ("continuation-token", token))
        query = urlencode(params, quote_via=quote)
        host, path = self._url.netloc, self._path
        status, body = client.fetch(
            "GET", f"{path}?{query}", lambda: self._signer.headers("GET", host, path, query, self._clock())
        )
        if status != 200:
            raise StorageError(f"{self._name} cannot be listed: {_describe_refusal(status, body)}")
        try:
            return _parse(body)
        except ValueError as error:
            raise StorageError(f"{self._name} sent a response that is not a listing: {error}") from error


def _parse(body: bytes) -> tuple[list[str], str | None]:
    """Return the keys of a ListBucketResult, and its continuation token if it is truncated.

    :raises ValueError: the body is not a complete ListBucketResult.
    """
    try:
        page = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError(f"not valid XML: {error}") from error
    truncated = page.findtext("{*}IsTruncated")
    if page.tag.rpartition("}")[2] != "ListBucketResult" or truncated not in ("true", "false"):
        raise ValueError("not a ListBucketResult with IsTruncated")
    # XML cannot represent every key, so the request asks for URL encoding. A server that does not support it omits
    # EncodingType.
    encoded = page.findtext("{*}EncodingType") == "url"
    keys = []
    for element in page.iterfind("{*}Contents"):
        key = element.findtext("{*}Key")
        if key is None:
            raise ValueError("an object without a key")
        keys.append(unquote_plus(key, errors="surrogateescape") if encoded else key)
    if truncated == "false":
        return keys, None
    token = page.findtext("{*}NextContinuationToken")
    if not token:
        raise ValueError("truncated, but without a continuation token")
    return keys, token


def _describe_refusal(status: int, body: bytes) -> str:
    """Return the status, S3's error code and a hint. Omit the error text, because it may contain the signature."""
    code = re.search(rb"<Code>(\w{1,64})</Code>", body)
    text = f"{status} {code[1].decode()}" if code else f"{status}"
    credentials = "are the key and the secret right, and allowed to list this bucket?"
    hints = {
        301: "the bucket is in another region or at another endpoint",
        307: "the bucket is in another region or at another endpoint",
        400: "is the region right?",
        401: credentials,  # R2's response to an unknown key
        403: credentials,
        404: "does the bucket exist? A key prefix must be in the query, ?prefix=…",
    }
    return f"{text}; {hints[status]}" if status in hints else text
