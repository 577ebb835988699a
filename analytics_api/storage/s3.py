"""Statistics of a bucket of Cloudflare R2 or another S3 service, by listing it.

The listing is written with the standard library, so that it is exact. obstore 0.12 is not: a key with a newline, an
empty segment (`a//b`) or a segment `.` ends its listing with an error; it does not read `IsTruncated`, so a truncated
page without a token ends the listing early; and XML without `Contents`, such as an `<Error>`, is an empty bucket to it.
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
    """A bucket at a path-style URL, whose last segment is the bucket.

    Listing n objects costs ceil(n / 1000) class A operations of R2. Nothing stays open between two listings, so an
    instance can be used in any thread and after a fork.

    :param prefix: beginning of the keys that count: `site1/` is a folder, `site1` also matches `site10/…`. The session
        pattern is searched after its last `/`; below a prefix `…/sessions/`, keys may begin with `<session>`.
    :param timeout: seconds for one request.
    :param deadline: seconds for the whole listing.
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
        # a key with the newline of the file that it was read from would get a 403 that does not say so
        if not all(re.fullmatch("[!-~]+", text) for text in (access_key_id, secret_access_key, region)):
            raise SettingError("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the region is empty or has a blank")
        folder = prefix.rpartition("/")[0]
        self._path = quote(unquote(path), safe="/")
        self._prefix = prefix
        self._skipped = len(folder) + 1 if folder else 0
        self._signer = Signer(access_key_id, secret_access_key, region)
        self._pattern = session_pattern(pattern, folder.rpartition("/")[2])
        self._timeout = timeout
        self._deadline = deadline
        self._clock = clock
        self._name = f"{self._url.scheme}://{self._url.netloc}{self._path}"
        place = f"{self._name}?prefix={quote(prefix)}" if prefix else self._name
        self.source = place if pattern is None else f"{place} {self._pattern.pattern}"

    def __repr__(self) -> str:
        return f"<Bucket {self.source}>"

    def statistics(self) -> Statistics:
        """List the bucket once.

        :raises StorageError: a request failed.
        """
        with closing(self._pages()) as pages:
            return count(pages, self._pattern, self._clock)

    def _pages(self) -> Generator[list[str], None, None]:
        token: str | None = None
        with Client(self._url, timeout=self._timeout, deadline=self._deadline) as client:
            while True:
                keys, following = self._page(client, token)
                yield [key[self._skipped :] for key in keys]
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
            raise StorageError(f"{self._name} responded with something other than a listing: {error}") from error


def _parse(body: bytes) -> tuple[list[str], str | None]:
    """Return the keys of a ListBucketResult, and its continuation token if it is truncated.

    :raises ValueError: the body is something else.
    """
    try:
        page = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML, {error}") from error
    truncated = page.findtext("{*}IsTruncated")
    if page.tag.rpartition("}")[2] != "ListBucketResult" or truncated not in ("true", "false"):
        raise ValueError("not a whole ListBucketResult")
    # XML cannot contain every key, so the request asks for form encoding; a server without it omits EncodingType.
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
    """Return the status, S3's error code and a hint. The rest of the response may repeat what was signed."""
    code = re.search(rb"<Code>(\w{1,64})</Code>", body)
    text = f"{status} {code[1].decode()}" if code else f"{status}"
    hints = {
        301: "the bucket is in another region or at another endpoint",
        307: "the bucket is in another region or at another endpoint",
        400: "is the region right?",
        403: "are the key and the secret right, and allowed to list this bucket?",
        404: "does the bucket exist? A key prefix does not belong in the path",
    }
    return f"{text}; {hints[status]}" if status in hints else text
