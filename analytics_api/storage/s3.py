"""Statistics of an S3 bucket, R2's or any other's, by listing it.

The listing is spelled out here, over the standard library, so that it is exact. obstore is not, as of 0.12: a
key with a newline, an empty segment (`a//b`) or a segment `.` ends the listing with an error; `IsTruncated`
isn't read, so a truncated page without a token ends it early and without one; and any XML without `Contents`,
an `<Error>` with status 200 for one, is an empty bucket to it.
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
    """The bucket at a path-style URL: its last segment is the bucket, those before it are the endpoint's own path.

    `prefix` is what the keys that count begin with, as S3 takes it: `site1/` is a folder, `site1` is also
    `site10/…`. The session pattern is searched in what follows the last `/` of the prefix; under a prefix
    `…/sessions/` keys may begin with `<session>`. `timeout` is how many seconds one request may take,
    `deadline` how many the whole listing may. To list n objects costs ceil(n / 1000) of R2's class A
    operations.

    Nothing is opened before `statistics` nor left open after it, so forks and threads don't matter.
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
            raise SettingError("The bucket's URL takes the form https://HOST/BUCKET")
        # The newline of the file that a key was read from would otherwise be told in a riddling 403.
        if not all(re.fullmatch("[!-~]+", text) for text in (access_key_id, secret_access_key, region)):
            raise SettingError("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the region is empty or holds a blank")
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
        """List the bucket once; `StorageError` if that fails anywhere, since half a count is none."""
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
                    raise StorageError(f"{self._name} gives the same continuation token twice")
                token = following

    def _page(self, client: Client, token: str | None) -> tuple[list[str], str | None]:
        """One page's keys and the token of the next page, after ListObjectsV2 in the Amazon S3 API reference."""
        asked = [("encoding-type", "url"), ("list-type", "2"), ("prefix", self._prefix)]
        if token is not None:
            asked.insert(0, ("continuation-token", token))
        query = urlencode(asked, quote_via=quote)
        host, path = self._url.netloc, self._path
        status, body = client.fetch(
            "GET", f"{path}?{query}", lambda: self._signer.headers("GET", host, path, query, self._clock())
        )
        if status != 200:
            raise StorageError(f"{self._name} can't be listed: {_refusal(status, body)}")
        try:
            return _parse(body)
        except ValueError as error:
            raise StorageError(f"{self._name} answers with no listing: {error}") from error


def _parse(body: bytes) -> tuple[list[str], str | None]:
    """The keys of a ListBucketResult, and its continuation token if it is truncated; ValueError for anything else."""
    try:
        page = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML, {error}") from error
    truncated = page.findtext("{*}IsTruncated")
    if page.tag.rpartition("}")[2] != "ListBucketResult" or truncated not in ("true", "false"):
        raise ValueError("not a whole ListBucketResult")
    # XML can't hold every key, so they are asked for as form values; a server that can't do that says nothing.
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
        raise ValueError("truncated, but without the token to go on with")
    return keys, token


def _refusal(status: int, body: bytes) -> str:
    """Status and S3's error code, and what can be done; the rest of the answer may repeat what was signed."""
    code = re.search(rb"<Code>(\w{1,64})</Code>", body)
    said = f"{status} {code[1].decode()}" if code else f"{status}"
    hints = {
        301: "the bucket is in another region or at another endpoint",
        307: "the bucket is in another region or at another endpoint",
        400: "is the region right?",
        403: "are key and secret right, and may they list this bucket?",
        404: "is there such a bucket? A key prefix is no part of the path",
    }
    return f"{said}; {hints[status]}" if status in hints else said
