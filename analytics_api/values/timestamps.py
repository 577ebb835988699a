"""The current time, and parsing of timestamps and dates in various formats."""

from __future__ import annotations

import math
import re
import shlex
import time
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from ..errors import IngestError, SettingError
from .calendar import DAY_MS, MINUTE_MS

TIMESTAMP_COLUMNS = frozenset({"started_at", "ended_at", "occurred_at", "changed_at"})  # milliseconds since the epoch

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)

FIRST_TIMESTAMP = -62_135_596_800_000  # 0001-01-01
LAST_TIMESTAMP = 253_402_300_799_999  # 9999-12-31

# The minimum timestamp of sessions and events. A number from MIN_SECONDS up to this minimum is probably in seconds.
MIN_TIMESTAMP = 100_000_000_000  # 1973-03-03
MIN_SECONDS = MIN_TIMESTAMP // 1000
# `to_timestamp` interprets each number from MIN_PLAIN_TIMESTAMP to MAX_PLAIN_TIMESTAMP as milliseconds. Other numbers
# may be read as dates or seconds, so `export` writes timestamps outside this range as text.
MIN_PLAIN_TIMESTAMP = 1_000_000_000_000  # 2001-09-09
MAX_PLAIN_TIMESTAMP = 9_999_999_999_999  # 2286-11-20

MAX_OFFSET_MINUTES = 18 * 60  # the same limit as in java.time; actual offsets are within 14 hours
SERIAL_DAYS = (32_874, 73_415)  # serial dates of spreadsheets, 1990 to 2100
SERIAL_OF_EPOCH = 25_569

NUMBER = re.compile(r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]*)?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?")
UNKNOWN_ORDER = re.compile(  # 23/02/2026 or 02/23/2026, perhaps with a time such as 18:30 or 6:30:00 PM
    r"([0-9]{1,2})([/.-])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})(?:(,? )[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?( ?[AP]M)?)?",
    re.IGNORECASE,
)
DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
ISO_8601 = re.compile(
    r"""([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}(?=T))
    (?:[T\ ]([01][0-9]|2[0-3]):?([0-5][0-9])(?::?([0-5][0-9])(?:[.,]([0-9]+))?)?)?
    \ ?(?:(Z|UTC|GMT)|([+-])([0-9]{2})(?::?([0-9]{2}))?)?""",
    re.VERBOSE | re.IGNORECASE,
)


def now() -> int:
    """Return the current time in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def check_clock(clock: Callable[[], int]) -> None:
    """Call the clock once.

    :raises SettingError: the result is not in milliseconds since the epoch.
    """
    instant = clock() if callable(clock) else clock
    if not isinstance(instant, int) or not MIN_TIMESTAMP <= instant <= LAST_TIMESTAMP:
        raise SettingError(f"clock: return milliseconds since the epoch as an integer, not {instant!r}")


def to_timestamp(value: object) -> int | None:
    """Convert a value to milliseconds since the epoch. None and blank text become None.

    A value can be ISO 8601 (UTC if it has no offset), `20260223`, `20260223T111500`, `20260223111500`, a datetime, or a
    number: seconds, milliseconds or microseconds from 1973 to 2286, or a serial date of a spreadsheet.

    :raises ValueError: the value is not a timestamp, or is ambiguous.
    """
    if isinstance(value, str):
        value = value.strip()
        if not value:
            return None
        if not NUMBER.fullmatch(value):
            return _parse_iso_8601(value)
        number = int(value) if value.isdecimal() else float(value)
        return _from_number(number, value)
    if value is None:
        return None
    if isinstance(value, datetime):
        return ((value if value.tzinfo else value.replace(tzinfo=timezone.utc)) - EPOCH) // MILLISECOND
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_number(value, value)
    raise not_a_date(value)


def to_datetime(value: object) -> str | None:
    """Convert a value to `YYYY-MM-DD HH:MM:SS` in UTC. Fractions of a second are cut off. Blank text becomes "".

    :raises ValueError: the value is not a timestamp, is ambiguous, or its year does not have four digits.
    """
    if isinstance(value, str):
        if DATETIME.fullmatch(value):
            _check_datetime(value)
            return value
        if not value.strip():
            return ""
    timestamp = to_timestamp(value)
    if timestamp is None:
        return None
    try:
        return format_timestamp(timestamp)[:19].replace("T", " ")
    except OverflowError:
        raise ValueError(f"{shorten(value)} is not within the years 1 to 9999") from None


def check_date_format(format: str) -> None:
    """Raise IngestError unless `datetime.strptime` can read a day, a month and a year with the format."""
    day = datetime(2026, 12, 31, tzinfo=timezone.utc)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.13 warns of a format without a year
            is_whole = datetime.strptime(day.strftime(format), format).date() == day.date()
    except ValueError:
        is_whole = False
    if not is_whole:
        raise IngestError(f"--date-format {format}: it must have a day, a month and a year, such as %d/%m/%Y")


def parse_date(text: str, format: str) -> datetime:
    """Parse text in a format of `datetime.strptime`.

    :raises ValueError: the text has another format.
    """
    try:
        return datetime.strptime(text.strip(), format)
    except ValueError:
        raise ValueError(f"{shorten(text)} does not have the format {format} of --date-format") from None


def format_timestamp(timestamp: int) -> str:
    """Format a timestamp as `YYYY-MM-DDTHH:MM:SS.mmmZ`.

    :raises OverflowError: the year is not within 1 to 9999.
    """
    moment = EPOCH + timedelta(milliseconds=timestamp)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def shorten(value: object) -> str:
    """Return the `repr` of a value, truncated to 60 characters."""
    text = repr(value[:60]) if isinstance(value, (str, bytes)) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def not_a_date(value: object) -> ValueError:
    return ValueError(f"{shorten(value)} is not a date")


def _from_number(number: int | float, value: object) -> int:
    if isinstance(number, float) and not math.isfinite(number):
        raise not_a_date(value)
    if SERIAL_DAYS[0] <= number < SERIAL_DAYS[1]:
        return round((number - SERIAL_OF_EPOCH) * DAY_MS)
    if number == int(number):
        compact = _from_digits(str(int(number)), value)
        if compact is not None:
            return compact
    if 10**8 <= number < 10**10:
        return round(number * 1000)
    if 10**11 <= number < 10**13:
        return round(number)
    if 10**14 <= number < 10**16:
        return round(number) // 1000
    raise not_a_date(value)


def _from_digits(digits: str, value: object) -> int | None:
    """Parse `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS` of the years 1900 to 2199.

    Ten digits that can be `YYYYMMDDHH` are invalid, because they can also be seconds since 1970 (of 2030 to 2039).
    """
    if len(digits) not in (8, 10, 12, 14) or not "1900" <= digits[:4] < "2200":
        return None
    try:
        moment = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    if len(digits) == 10:
        raise ValueError(
            f"{shorten(value)} is ambiguous: it can be YYYYMMDDHH, or seconds since 1970; write YYYY-MM-DD HH:MM"
        )
    return (moment.replace(tzinfo=timezone.utc) - EPOCH) // MILLISECOND


def _parse_iso_8601(value: str) -> int:
    match = ISO_8601.fullmatch(value)
    if match is None:
        raise ValueError(f"{not_a_date(value)}{_suggest_format(value)}")
    day, hour, minute, second, fraction, _, sign, hours, minutes = match.groups()
    try:
        midnight = _midnight(day if "-" in day else f"{day[:4]}-{day[4:6]}-{day[6:]}")
    except ValueError:
        raise not_a_date(value) from None
    seconds = (int(hour or 0) * 60 + int(minute or 0)) * 60 + int(second or 0)
    timestamp = midnight + seconds * 1000 + (int((fraction + "00")[:3]) if fraction else 0)
    if not sign:
        return timestamp
    offset = int(hours) * 60 + int(minutes or 0)
    if offset > MAX_OFFSET_MINUTES or int(minutes or 0) > 59:
        raise ValueError(f"{shorten(value)} has an invalid offset: use -18:00 to +18:00, with minutes up to 59")
    return timestamp + offset * (MINUTE_MS if sign == "-" else -MINUTE_MS)


def _suggest_format(value: str) -> str:
    """Return the end of an error message: how to import text that may be a date, or "" if the text has no digit."""
    match = UNKNOWN_ORDER.fullmatch(value)
    if match is None:
        has_digit = any(map(str.isdigit, value))
        return "; write YYYY-MM-DD HH:MM:SS, or use --date-format" if has_digit else ""
    first, separator, second, year, gap, seconds, half = match.groups()
    rest = separator + ("%Y" if len(year) == 4 else "%y")
    if gap:
        rest += f"{gap}{'%I' if half else '%H'}:%M{':%S' if seconds else ''}{half[:-2] + '%p' if half else ''}"
    orders = [("%d", "%m")] if int(second) <= 12 else []
    orders += [("%m", "%d")] if int(first) <= 12 else []
    formats = [separator.join(order) + rest for order in orders]
    return f"; use --date-format {' or '.join(map(shlex.quote, formats))}" if formats else ""


@lru_cache(maxsize=4_000)
def _midnight(day: str) -> int:
    return (datetime.fromisoformat(f"{day}T00:00:00+00:00") - EPOCH) // MILLISECOND


def _check_datetime(value: str) -> None:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise not_a_date(value) from None
