"""Compute comparisons with an earlier range in Python, to compare them with those of the endpoints."""

from datetime import date, datetime, timedelta, timezone
from functools import cache
from typing import NamedTuple

from helpers.plain_statistics import MINUTE, Plain, date_of

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Earlier(NamedTuple):
    """An earlier range. It counts until the end of `last_counted`, or until the instant `until` if it is not None."""

    first: date
    last: date
    last_counted: date
    until: int | None

    def describe(self):
        return {"from": self.first.isoformat(), "to": self.last.isoformat(), "until": self.until}

    def of(self, plain):
        """Return the statistics of the rows in the earlier range."""
        within = plain.within(self.first, self.last_counted)
        if self.until is None:
            return within
        return Plain(
            [row for row in within.sessions if row["started_at"] < self.until],
            [row for row in within.events if row["occurred_at"] < self.until],
            plain.page_query,
        )


def earlier_range(first, last, compare, now, zone, raw_since=None):
    """Return the Earlier range of the dates `first` to `last`."""
    length = last - first + timedelta(days=1)

    def earlier(day):
        if compare == "previous":
            return day - length
        return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)

    today = date_of(now, zone)
    if last < today:
        return Earlier(earlier(first), earlier(last), earlier(last), None)
    cut_day = earlier(today)
    if raw_since and earlier(first) <= cut_day < raw_since:
        return Earlier(earlier(first), earlier(last), cut_day, None)
    shown = (EPOCH + timedelta(milliseconds=now)).astimezone(zone)
    until = first_instant(cut_day, shown.hour, shown.minute, zone)
    return Earlier(earlier(first), earlier(last), cut_day, until)


@cache
def first_instant(day, hour, minute, zone):
    """Return the first instant at which the clock shows this time of the day, or a later time."""
    wall_time = datetime(day.year, day.month, day.day, hour, minute)
    moment = wall_time.replace(tzinfo=timezone.utc) - timedelta(hours=40)
    while moment.astimezone(zone).replace(tzinfo=None) < wall_time:
        moment += MINUTE
    return (moment - EPOCH) // timedelta(milliseconds=1)


def compared(shown, earlier, key):
    """Return rows with `previous`: the numbers of the earlier row with the same key, or zeros."""
    measures = {row[key]: {name: value for name, value in row.items() if name != key} for row in earlier}
    zeros = [dict.fromkeys(row.keys() - {key}, 0) for row in shown]
    return [{**row, "previous": measures.get(row[key], zero)} for row, zero in zip(shown, zeros)]


def compared_series(shown, earlier_rows, numbers, earlier_labels):
    """Return rows with `previous`: the numbers of the earlier interval at the same position.

    :param numbers: the position of each interval of the range by its `date`.
    :param earlier_labels: the `date` of each interval of the earlier range.
    """
    measures = {row["date"]: row for row in earlier_rows}
    rows = []
    for row in shown:
        zeros = {name: 0 for name in row if name != "date"}
        number = numbers[row["date"]]
        if number < len(earlier_labels):
            zeros = measures.get(earlier_labels[number], {"date": earlier_labels[number], **zeros})
        rows.append({**row, "previous": zeros})
    return rows


def list_labels(first, last, until, interval, zone, label):
    """Return the `date` of every interval of a range in ascending order. Days that the clock skipped are omitted.

    :param label: the function of the interval from `random_rows.labels`.
    """
    rows = []
    if interval == "hour":
        quarter = timedelta(minutes=15)
        moment = datetime(first.year, first.month, first.day, tzinfo=timezone.utc) - timedelta(days=2)
        while moment.date() <= last + timedelta(days=2):
            instant = (moment - EPOCH) // timedelta(milliseconds=1)
            if first <= date_of(instant, zone) <= last and (until is None or instant < until):
                rows.append({"started_at": instant})
            moment += quarter
    else:
        if ends_before_day(until, last, zone):
            last -= timedelta(days=1)
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        rows = [{"date": day} for day in days if exists(day, zone)]
    return list(dict.fromkeys(text for _, text in sorted(label(row) for row in rows)))


def ends_before_day(until, day, zone):
    """Return whether a range that ends at the instant `until` contains no instant of `day`, its last day."""
    return until is not None and first_instant(day, 0, 0, zone) >= until


def exists(day, zone):
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    return noon.astimezone(timezone.utc).astimezone(zone).date() == day
