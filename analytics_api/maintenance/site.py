"""The site's settings: the time zone, and whether pages are counted with their query strings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from difflib import get_close_matches
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from ..database import Database, Reader, Transaction, ignore_progress
from ..errors import SettingError
from ..statistics.ranges import RAW_SINCE
from ..values.calendar import DAY_MS, Offset, day_begins_at, day_of, utc_date
from .purge import RAISE_RAW_SINCE

SECOND_MS = 1000
DAY_SECONDS = 86_400

# Time zone databases list the changes of an offset up to some year before RULE_BEGINS. Later changes follow a rule,
# such as the last Sunday of March. Like the calendar, they repeat every 400 years, which are a whole number of weeks.
# So only the first 400 years after RULE_BEGINS are searched for changes.
RULE_BEGINS = 130 * 365 * DAY_SECONDS + 32 * DAY_SECONDS  # 2100-01-01
CYCLE = 146_097 * DAY_SECONDS  # 400 years
END = 253_402_300_800  # the end of the year 9999

# Search steps in seconds. Two changes within one step might not be found. Since 1970, two changes of a time zone were
# at least 6.9 days apart (in Boa Vista in 2000). Changes by a rule are months apart.
STEP = 6 * DAY_SECONDS
RULE_STEP = 30 * DAY_SECONDS


SETTINGS = """
select time_zone, page_query
from site
"""

# A null parameter leaves its setting unchanged. Writing the value that was read before could undo a change that another
# program has made since.
UPDATE_SETTINGS = """
update site set
  time_zone = coalesce(cast(:time_zone as text), time_zone),
  page_query = coalesce(cast(:page_query as text), page_query)
"""

OFFSETS = """
select begins_at, day_offset, utc_offset
from site_offsets
order by begins_at
"""

DELETE_OFFSETS = """
delete from site_offsets
"""


class Settings(NamedTuple):
    time_zone: str
    page_query: str


def read_settings(db: Reader | Database) -> Settings:
    return Settings(**db.rows(SETTINGS)[0])


def change_settings(
    db: Database,
    *,
    time_zone: str | None = None,
    page_query: str | None = None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> bool:
    """Set the time zone, `page_query` or both, and rebuild all counters in one transaction.

    The archived counts of purged rows do not change. They keep their days and pages. If the days that were purged with
    `keep_totals` end during a day of the new time zone, `raw_since` is raised to the day after it.

    :param time_zone: a name from the IANA database. The offsets of the time zone are computed again even if the name is
        the same.
    :param page_query: `keep` counts pages with their query and fragment, `drop` counts pages without them.
    :returns: whether anything changed. If not, the counters are not rebuilt.
    :raises SettingError: the time zone does not exist.
    """
    before = read_settings(db)
    offsets = None if time_zone is None else compute_offsets(time_zone)
    if (
        time_zone in (None, before.time_zone)
        and page_query in (None, before.page_query)
        and (offsets is None or offsets == read_offsets(db))
    ):
        return False

    def change(at: Transaction) -> None:
        at.execute(UPDATE_SETTINGS, time_zone=time_zone, page_query=page_query)
        if offsets is not None:
            _raise_raw_since(at, offsets)
            at.execute(DELETE_OFFSETS)
            at.insert("site_offsets", Offset._fields, offsets)

    db.rebuild(change, on_progress=on_progress)
    return True


def _raise_raw_since(at: Transaction, offsets: list[Offset]) -> None:
    """Set `raw_since` to a day that begins after all purged rows with the new offsets, too.

    Otherwise, an import would add purged rows again that are counted.
    """
    raw_since = at.rows(RAW_SINCE)[0]["raw_since"]
    if raw_since is not None:
        purged_before = day_begins_at(raw_since, read_offsets(at))
        day = day_of(purged_before - 1, offsets) + 1
        at.execute(RAISE_RAW_SINCE, day=day)


def read_offsets(db: Reader | Database) -> list[Offset]:
    return [Offset(*row) for row in db.tuples(OFFSETS)]


def find_outdated_offset(db: Database) -> int | None:
    """Return the first instant at which the stored offsets differ from the system's time zone database, or None.

    :raises SettingError: neither the system's database nor the package tzdata contains the time zone.
    """
    stored = read_offsets(db)
    expected = compute_offsets(read_settings(db).time_zone)
    return min((offset.begins_at for offset in set(stored) ^ set(expected)), default=None)


def outdated_message(time_zone: str, outdated: int) -> str:
    return (
        f"the offsets of {time_zone} from {utc_date(outdated)} on are outdated;"
        f" `analytics-api site --time-zone {time_zone}` updates them"
    )


def compute_offsets(time_zone: str) -> list[Offset]:
    """Return the rows of `site_offsets` for a time zone.

    :raises SettingError: neither the system's database nor the package tzdata contains the time zone.
    """
    if time_zone == "UTC":  # works without a time zone database
        return [Offset(0, 0, 0)]
    return zone_offsets(load_zone(time_zone))


def load_zone(name: str) -> ZoneInfo:
    """Return the time zone with this name.

    :raises SettingError: neither the system's database nor the package tzdata contains the time zone.
    """
    # ZoneInfo would also accept other files in the system's directory. Browsers do not know the name "localtime".
    names = available_timezones() - {"localtime"}
    if not names:
        raise SettingError("--time-zone: this system has no time zone database; install the package tzdata")
    if name not in names:
        cities = {known.rpartition("/")[2].lower(): known for known in sorted(names)}
        similar = cities | {known.lower(): known for known in sorted(names)}
        nearest = get_close_matches(name.lower(), similar, n=1, cutoff=0.8)
        hint = f"; did you mean {similar[nearest[0]]}?" if nearest else ""
        raise SettingError(f"--time-zone must be a name of the IANA database such as Asia/Kolkata, not {name!r}{hint}")
    return ZoneInfo(name)


def zone_offsets(zone: ZoneInfo) -> list[Offset]:
    """Return the rows of `site_offsets` for a time zone in ascending order. The first row begins at 0.

    If a clock is set back to an earlier day, the old `day_offset` applies until the clock reaches the latest day again.
    """
    offsets: list[Offset] = []
    latest_day = 0  # the maximum so far: the day never decreases, even if the clock is set back
    changes = [*_changes(zone), (END, 0)]
    for (second, utc_offset), (end, _) in pairwise(changes):
        begins_at, ends_at, clock = second * SECOND_MS, end * SECOND_MS, utc_offset * SECOND_MS
        if offsets and (begins_at + clock) // DAY_MS < latest_day:
            offsets.append(Offset(begins_at, offsets[-1].day_offset, clock))
            begins_at = latest_day * DAY_MS - clock
        if begins_at < ends_at:
            offsets.append(Offset(begins_at, clock, clock))
        latest_day = (ends_at - 1 + offsets[-1].day_offset) // DAY_MS
    return offsets


def _changes(zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """Yield each change of the time zone's offset since 1970 as (instant, offset) in seconds, in ascending order."""
    yield 0, _offset(zone, 0)
    yield from _search(zone, 0, RULE_BEGINS, STEP)
    cycle = list(_search(zone, RULE_BEGINS, RULE_BEGINS + CYCLE, RULE_STEP))
    for moved in range(0, END - RULE_BEGINS, CYCLE):
        for second, offset in cycle:
            if second + moved < END:
                yield second + moved, offset


def _search(zone: ZoneInfo, begin: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the changes in (begin, end]. Compare offsets every `step` seconds, and bisect where they differ."""
    before = _offset(zone, begin)
    for low in range(begin, end, step):
        high = min(low + step, end)
        after = _offset(zone, high)
        if after != before:
            yield _first_with(zone, low, high, before), after
            before = after


def _first_with(zone: ZoneInfo, low: int, high: int, before: int) -> int:
    """Return the first second in (low, high] at which the offset is not `before`, by bisection."""
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return offset.days * DAY_SECONDS + offset.seconds
