"""Convert lines of an access log to visitors and requests."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any, NamedTuple

from ...values.bots import NO_USER_AGENT, bot_name
from ...values.hosts import host_of_url, normalize_host, normalize_path, strip_www
from ...values.timestamps import LAST_TIMESTAMP, MIN_TIMESTAMP
from ..event_ids import EventIds
from .lines import (
    FAST_LINE,
    MAX_LINE_BYTES,
    MS_AFTER_HOUR,
    decode_field,
    match_line,
    parse_instant,
    unescape,
    virtual_host,
)
from .site import Site

MAX_URL_LENGTH = 2_000  # characters; a longer page or referrer is truncated
MAX_BOT_NAME_LENGTH = 100
MAX_CACHED = 20_000  # maximum number of entries of each cache
MAX_CACHED_BYTES = 400  # maximum length of a cached key; longer keys are rarely repeated
LAST_CACHED_HOUR = LAST_TIMESTAMP - 60 * 60 * 1000

REQUEST = re.compile(rb"([A-Za-z_-]+) +(\S+)(?: +HTTP/\d(?:\.\d)?)?")
ABSOLUTE_URL = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


class Request(NamedTuple):
    """The values of an event, and the referrer of its request."""

    instant: int  # milliseconds
    event_id: int
    event_type: str
    url: str | None
    data: str | None
    host: bytes | None
    referrer: bytes | None


class Outcome(NamedTuple):
    """The event type and page of a request."""

    event_type: str
    url: str | None
    data: str | None
    digest: bytes  # hash of virtual host, request and status


class Visitor(NamedTuple):
    """A visitor: the hash of address and user agent, and the name of the bot or None for a person."""

    visitor_id: str
    digest: bytes
    bot: str | None


class LineParser:
    """Parse the lines of a log, and cache repeated results.

    :param hosts: the site's own hosts, normalized by bare_host(). They do not count as referrers.
    :param salt: the key for hashing visitors.
    """

    def __init__(self, site: Site, hosts: frozenset[str], salt: bytes) -> None:
        self.site = site
        self.hosts = hosts
        self.salt = salt
        self.base = (site.url or "").rstrip("/")
        self.assets = tuple("." + extension.lower().lstrip(".") for extension in site.assets)
        self.has_separate_bots = site.bots == "separate"
        self.has_pages_without_host = False  # whether a page is stored as a path
        self.is_combined = False  # whether the previous line had a user agent
        self.has_agents = False  # whether a line has a user agent, or no field for it
        self.prefixed_lines = 0
        self.prefix = b""  # the first prefix, for the report
        self.event_ids = EventIds(salt)
        self.hours: dict[bytes, int] = {}
        self.visitors: dict[tuple[bytes, bytes | None], Visitor] = {}
        self.bots: dict[bytes, str | None] = {}
        self.bot_events: dict[tuple[str, str, str | None], tuple[str, str]] = {}
        self.outcomes: dict[tuple[bytes | None, bytes, bytes], Outcome] = {}
        self.referrers: dict[tuple[bytes | None, bytes], tuple[str | None, str | None]] = {}

    def parse(self, line: bytes) -> tuple[str, bool, Request]:
        """Return the visitor id, whether the visitor is a bot that is counted separately, and the request.

        :raises ValueError: the line is invalid; the message is the reason.
        """
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
        match = FAST_LINE.fullmatch(line)
        host, address, time, to_hour, clock, zone, request, status, referrer, agent = (
            match.groups() if match else self._parse_slow(line)
        )
        self.is_combined = agent is not None
        hour, after = self.hours.get(to_hour + zone), MS_AFTER_HOUR.get(clock)
        instant = self._instant(time) if hour is None or after is None else hour + after
        visitor_id, visitor_digest, bot = self.visitors.get((address, agent)) or self._visitor(address, agent)
        event_type, url, data, digest = self.outcomes.get((host, request, status)) or self.outcome(
            host, request, status
        )
        event_id = self.event_ids.make(instant, b"%b%b%d" % (visitor_digest, digest, instant))
        if bot:
            event_type, data = self._bot_event(bot, event_type, data)
        return (
            visitor_id,
            bool(bot) and self.has_separate_bots,
            Request(instant, event_id, event_type, url, data, host, referrer),
        )

    def outcome(self, host: bytes | None, request: bytes, status: bytes) -> Outcome:
        """Return the event type and page of a request."""
        match = REQUEST.fullmatch(request)
        method, target = (match[1].decode(), normalize_path(unescape(match[2]))) if match else (None, "")
        absolute = ABSOLUTE_URL.match(target)  # match only at the start, because a query can contain a URL
        path = target[absolute.end() if absolute else 0 :].partition("#")[0]
        if not path and target:
            path = "/"  # the target is a URL without a path, such as http://shop.example
        plain, mark, query = path.partition("?")
        url = data = None
        if path.startswith("/"):
            before = self.base or virtual_host(host)[1]
            url = (before + plain + (mark + query if self.site.query and query else ""))[:MAX_URL_LENGTH]
        if method == "GET" and url and (status[:1] == b"2" or status == b"304"):
            event_type = "asset" if plain.lower().endswith(self.assets) else "page_view"
            self.has_pages_without_host |= url.startswith("/") and event_type == "page_view"
        else:
            event_type = "error" if status >= b"4" else "request"
            data = json.dumps({"method": method, "status": int(status) if status != b"-" else None})
        digest = blake2b(b"%b %b %b" % (host or b"-", status, request), key=self.salt, digest_size=8).digest()
        outcome = Outcome(event_type, url, data, digest)
        if len(request) < MAX_CACHED_BYTES:
            _cache_put(self.outcomes, (host, request, status), outcome)
        return outcome

    def referrer(self, host: bytes | None, referrer: bytes | None) -> tuple[str | None, str | None]:
        """Return the referrer and its domain. Both are None if the referrer is not a URL or is a page of the site."""
        if referrer is None or len(referrer) < 4:
            return None, None
        key = (host, referrer)
        known = self.referrers.get(key)
        if known is None:
            known = None, None
            text = decode_field(referrer)
            domain = host_of_url(text)
            if domain and domain not in self.hosts and domain != bare_host(virtual_host(host)[0]):
                known = text[:MAX_URL_LENGTH], domain
            if len(referrer) < MAX_CACHED_BYTES:
                _cache_put(self.referrers, key, known)
        return known

    def _parse_slow(self, line: bytes) -> tuple[Any, ...]:
        """Return the groups of FAST_LINE for a line that only LINE matches."""
        match, prefix = match_line(line)
        if match is None:
            raise ValueError("not a line of an access log")
        if prefix:
            self.prefixed_lines += 1
            self.prefix = self.prefix or prefix
        host, address, time, request, status, referrer, agent = match.groups()
        if agent is None and self.is_combined and not line.endswith(b"\n"):
            raise ValueError("the line is cut short")  # the log was copied while the server wrote this line
        return host, address, time, time[:15], time[15:20], time[20:], request, status, referrer, agent

    def _instant(self, text: bytes) -> int:
        """Return milliseconds since the epoch."""
        try:
            instant, hour = parse_instant(text)
        except (ValueError, KeyError, OverflowError, TypeError):
            instant = hour = -1
        if not MIN_TIMESTAMP <= instant <= LAST_TIMESTAMP:
            raise ValueError("not a time from 1973 to 9999")
        if hour is not None and len(text) == 26 and MIN_TIMESTAMP <= hour < LAST_CACHED_HOUR:
            _cache_put(self.hours, text[:15] + text[20:], hour)
        return instant

    def _visitor(self, address: bytes, agent: bytes | None) -> Visitor:
        digest = blake2b(address.lower() + b"\0" + (agent or b"-"), key=self.salt, digest_size=8).digest()
        visitor = Visitor(digest.hex(), digest, None if agent is None else self._bot(agent))
        self.has_agents |= visitor.bot != NO_USER_AGENT
        if len(agent or b"") < MAX_CACHED_BYTES:
            _cache_put(self.visitors, (address, agent), visitor)
        return visitor

    def _bot(self, agent: bytes) -> str | None:
        if agent not in self.bots:
            name = bot_name(agent.decode(errors="replace"))
            _cache_put(self.bots, agent, name and name[:MAX_BOT_NAME_LENGTH])
        return self.bots[agent]

    def _bot_event(self, bot: str, event_type: str, data: str | None) -> tuple[str, str]:
        """Return the type and data of an event of a bot.

        :param event_type: the type that the event of a person would have.
        :param data: the data that the event of a person would have.
        """
        key = (bot, event_type, data)
        if key not in self.bot_events:
            with_name = json.dumps({"bot": bot} | json.loads(data or "{}"))
            _cache_put(self.bot_events, key, (f"bot_{event_type}" if self.has_separate_bots else event_type, with_name))
        return self.bot_events[key]


def bare_host(host: str) -> str:
    """Return the normalized host. If the text is not a valid host, return it in lower case without `www.`."""
    return normalize_host(host) or strip_www(host.lower())


def _cache_put(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= MAX_CACHED:
        cache.clear()
    cache[key] = value
