"""Parse a line of an access log in the Common or Combined format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from ...values.timestamps import EPOCH, MILLISECOND

MAX_LINE_BYTES = 1 << 16  # servers accept request lines of at most a quarter of this length by default

VIRTUAL_HOST = rb"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
QUOTED = rb'[^"\\]*(?:\\.[^"\\]*)*'
LINE = re.compile(
    rb"""
    (?:(%b)\ (?!-\ ))?               # virtual host, maybe with a port; an address is followed by "-"
    ([^\s|]+)\ [^\s|]+\                  # address, ident
    (?!-\ [^\[]|[^\[]*\ -\ -\ \[)[^\s\[][^\[]*\   # user; after an unknown prefix, it would contain the ident
    \[([^\]]{10,40})\]\              # time
    "(%b|.*?)"\                      # request; some servers do not escape the quotes in it
    (\d{3}|-)\ (?:\d+|-)             # status, bytes
    (?:\ "(%b)"\ "(%b)".*            # referrer, user agent, additional fields
      |(?:\ [^"].*)?)"""
    % (VIRTUAL_HOST, QUOTED, QUOTED, QUOTED),
    re.VERBOSE | re.DOTALL,
)
# A simpler form of LINE. It matches nearly all lines, and takes half the time.
FAST_LINE = re.compile(
    rb"""
    (?:(%b)\ (?=[^\s|-][^\s|]*\ -\ ))?([^\s|]+)\ -\   # virtual host, address; no ident
    [^\s\[]+\                                  # a user without spaces
    \[(([^\]]{15})(\d\d:\d\d)([^\]]{6}))\]\     # time: to the hour, minute and second, zone
    "([^"\\]*)"\                              # no escape sequences
    (\d{3})\ (?:\d+|-)
    \ "([^"\\]*)"\ "([^"\\]*)".*"""
    % VIRTUAL_HOST,
    re.VERBOSE | re.DOTALL,
)
# Prefixes that container runtimes, syslog and process managers add to a line.
SOURCE_PREFIX = rb"(?:[\w.-]+(?:-\d+)?\ *\||\d+\|[^|\s]+\ *\||\[pod/[^\s\]]+\])\ +"  # of Compose, pm2 and kubectl
PREFIX = re.compile(
    rb"""
    (?:%b)?\d{4}-\d\d-\d\d[T\ ]\d\d:\d\d:\d\d[\d.,]*(?:Z|\ ?[+-]\d\d:?\d\d)?:?\ (?:std(?:out|err)\ [FP]\ )?
        (?:\S+\ [^\s:\[]+(?:\[\d+\])?:\ )?
    | (?:<\d+>)?[A-Z][a-z]{2}\ [\ \d]\d\ \d\d:\d\d:\d\d\ \S+\ [^\s:\[]+(?:\[\d+\])?:\ +
    | %b"""
    % (SOURCE_PREFIX, SOURCE_PREFIX),
    re.VERBOSE,
)

MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), start=1
    )
}
TIME = re.compile(rb"(\d\d?)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d:\d\d) ([+-])(\d\d)([0-5]\d)")
MS_AFTER_HOUR = {
    b"%02d:%02d" % (minute, second): (minute * 60 + second) * 1000
    for minute in range(60)
    for second in range(61)  # a leap second is second 60
}

ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
ESCAPED_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f"}


def looks_like_log(lines: Iterable[bytes]) -> bool:
    """Return whether any of the lines is in an access log format."""
    return any(len(line) < MAX_LINE_BYTES and match_line(line)[0] for line in lines)


def match_line(line: bytes) -> tuple[re.Match[bytes] | None, bytes]:
    """Return the match of a line, and the prefix that another program added to the line."""
    line = line.rstrip(b"\r\n")
    prefix = PREFIX.match(line)
    if prefix:
        match = LINE.fullmatch(line, prefix.end())
        if match:
            return match, prefix[0]
    return LINE.fullmatch(line), b""


def parse_instant(text: bytes) -> tuple[int, int | None]:
    """Return a timestamp in milliseconds since the epoch, and the timestamp at the beginning of its hour.

    The caller caches the timestamp of the hour, which is None if the text is in ISO 8601.

    :raises ValueError, KeyError, OverflowError, TypeError: the text is not a timestamp.
    """
    match = TIME.fullmatch(text)
    if match is None:  # nginx can also write $time_iso8601
        return (datetime.fromisoformat(text.decode("ascii").replace("Z", "+00:00")) - EPOCH) // MILLISECOND, None
    day, month, year, hour, clock, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == b"-" else 1)
    moment = datetime(int(year), MONTHS[month.lower()], int(day), int(hour), tzinfo=timezone.utc)
    at_hour = (moment - offset - EPOCH) // MILLISECOND
    return at_hour + MS_AFTER_HOUR[clock], at_hour


def decode_field(raw: bytes) -> str:
    """Decode a field. U+FFFD replaces invalid UTF-8, and NUL, which PostgreSQL does not accept."""
    return unescape(raw).decode(errors="replace").replace("\0", "\ufffd")


def unescape(raw: bytes) -> bytes:
    """Decode the server's escape sequences in a field."""
    return ESCAPE.sub(_unescape_one, raw) if b"\\" in raw else raw


def _unescape_one(match: re.Match[bytes]) -> bytes:
    code, letter = match.groups()
    return bytes.fromhex(code.decode()) if code else ESCAPED_LETTERS.get(letter, letter)


def virtual_host(host: bytes | None) -> tuple[str, str]:
    """Return the name of a virtual host in lower case and the URL of its root, or two empty strings for None."""
    if host is None or host in (b"-", b"_"):
        return "", ""
    name, colon, port = decode_field(host).lower().rpartition(":")
    if not colon or not port.isdecimal():
        name, port = decode_field(host).lower(), "443"
    scheme = "https" if port == "443" else "http"
    return name, f"{scheme}://{name}" + ("" if port in ("80", "443") else f":{port}")
