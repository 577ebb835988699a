"""Rows for our tables from elsewhere: values of any spelling turned into what each column wants."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from itertools import accumulate, count, repeat
from operator import length_hint
from types import NoneType
from typing import Any, NamedTuple

from ..database import BASE_TABLES, DERIVED_COLUMNS, Column, Database, OnConflict, Transaction, ignore_progress
from ..errors import IngestError, RowError
from .event_ids import Identities
from .rejects import Raw, Refusal, Rejects
from .report import Report, Tally
from .source import AGAIN, load

BATCH = 10_000  # rows
BATCH_BYTES = 1 << 24  # of rows as they came
FEW = 16  # rows, not worth to be turned by columns

# Milliseconds since the epoch, and `YYYY-MM-DD HH:MM:SS` in UTC; every other integer is a plain number.
INSTANTS = frozenset({"started_at", "ended_at", "occurred_at", "changed_at"})
MOMENTS = frozenset({"enquiry_datetime", "submitted_at"})

# Where the schema says so; told better here than by the engine.
FROM_THE_EPOCH = frozenset({"started_at", "occurred_at"})
LAST_INSTANT = 253_402_300_799_999

# A number nearer to 0 than this is seconds, to the year 2286, and one further is milliseconds, since April 1970.
SECONDS_BELOW = 10**10

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
NUMBER = re.compile(r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]*)?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?")
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
ISO_8601 = re.compile(
    r"""([0-9]{4}-[0-9]{2}-[0-9]{2})
    (?:[T\ ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:[.,]([0-9]+))?)?)?
    \ ?(?:(Z|UTC|GMT)|([+-])([0-9]{2})(?::?([0-9]{2}))?)?""",
    re.VERBOSE | re.IGNORECASE,
)
TRUTH = {"true": 1, "t": 1, "yes": 1, "y": 1, "false": 0, "f": 0, "no": 0, "n": 0}


class Record(NamedTuple):
    """A row as it came: its values in the order of `names`; or with `fault`, why it is none."""

    line: int
    raw: Raw
    names: tuple[str, ...]
    values: Sequence[object]
    fault: str | None = None


class Batch(NamedTuple):
    """Rows as they came on lines that follow each other, none with a fault, all with the same names."""

    line: int  # of the first
    raws: Sequence[bytes]
    names: tuple[str, ...]
    columns: Sequence[Sequence[object]]  # their values, in the order of `names`

    def part(self, begin: int, end: int | None = None) -> Batch:
        columns = [column[begin:end] for column in self.columns]
        return Batch(self.line + begin, self.raws[begin:end], self.names, columns)

    def records(self) -> Iterator[Record]:
        return map(Record, count(self.line), self.raws, repeat(self.names), zip(*self.columns))


def import_rows(
    db: Database,
    table: str,
    rows: Iterable[Mapping[str, object]],
    *,
    map: Mapping[str, str] | None = None,
    on_conflict: OnConflict = "ignore",
    strict: bool = False,
    rejects: Rejects | None = None,
    name: str = "the input",
    written: Callable[[int, int | None], object] = lambda rows, of: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> Report:
    """Write rows, each a dict by column name, into one of our tables, in one transaction; what was done.

    `map` names our columns for theirs, `{"session": "session_id"}`; what has no place is told in the report. A value is
    turned into what the column wants: an instant may be ISO 8601 (UTC unless it says otherwise), or seconds or
    milliseconds since the epoch; truth may be words; what is nested becomes JSON. None, where the column has a default,
    takes it. Events without an `event_id` get one made of what they say, so that they too are known the second time.

    A row whose key is there already stays as it is, or takes the given values with `on_conflict="update"`. One that
    can't be taken goes to `rejects`, by its number; with `strict` the first one raises IngestError, and nothing is
    written. `written` hears of so many more rows and how many there are, when that is known; `on_progress` of each
    rollup that is rebuilt. Rows from an iterator can be read only once: should the database ask to begin again, that
    raises IngestError.
    """
    begun = False

    def records() -> Iterator[Record]:
        nonlocal begun
        if begun and iter(rows) is rows:
            raise IngestError(f"{name}: {AGAIN}")
        begun = True
        for number, row in enumerate(rows, start=1):
            yield Record(number, row, tuple(row), list(row.values()))

    return import_records(
        db,
        table,
        records,
        rows=length_hint(rows) or None,
        name=name,
        map=map,
        on_conflict=on_conflict,
        strict=strict,
        rejects=rejects,
        written=written,
        on_progress=on_progress,
    )


def import_records(
    db: Database,
    table: str,
    records: Callable[[], Iterable[Record | Batch]],
    *,
    rows: int | None,
    name: str,
    map: Mapping[str, str] | None,
    on_conflict: OnConflict,
    strict: bool,
    rejects: Rejects | None,
    written: Callable[[int, int | None], object],
    on_progress: Callable[[str], object],
) -> Report:
    """`import_rows` for what a file holds; `records` begins to read it, as often as need be."""
    columns = columns_of(db, table)
    ours = {theirs.strip().lower(): column.strip().lower() for theirs, column in (map or {}).items()}
    for column in ours.values():
        if column not in columns:
            raise IngestError(f"the table {table} has no column {column} to be written; it has {', '.join(columns)}")

    def work(at: Transaction) -> Report:
        report = Report(tables={table: Tally()})
        refuse = Refusal(report, table, name, rejects or Rejects(), strict)
        writing = _Writing(at, table, columns, ours, on_conflict, report, refuse)
        for came in records():
            rest: Record | Batch | None = came
            while rest is not None:
                rest = writing.take(rest)
                if writing.size >= BATCH_BYTES or writing.count >= BATCH:
                    written(writing.count, rows)
                    writing.flush()
        written(writing.count, rows)
        writing.flush()
        return report

    return load(db, rows, work, on_progress)


def columns_of(db: Database, table: str) -> dict[str, Column]:
    """The table's columns by name; IngestError when it is none of ours."""
    if table not in BASE_TABLES:
        raise IngestError(f"there is no table {table}; there are {', '.join(BASE_TABLES)}")
    return {column.name: column for column in db.columns(table)}


def needed(table: str, columns: Mapping[str, Column]) -> list[str]:
    """The columns without which there is no row."""
    return [
        column.name
        for column in columns.values()
        if (column.required and column.default is None) or (column.name == BASE_TABLES[table] != "event_id")
    ]


class _Plan:
    """How rows with these names of values become rows of the table."""

    def __init__(
        self, table: str, columns: Mapping[str, Column], ours: Mapping[str, str], names: Sequence[str]
    ) -> None:
        places: dict[str, int] = {}
        self.ignored = []
        for place, name in enumerate(names):
            key = name.strip().lower()
            column = ours.get(key, key)
            if column in columns and (column not in places or key in ours):
                places[column] = place
            elif column not in DERIVED_COLUMNS:
                self.ignored.append(name)
        self.missing = [column for column in needed(table, columns) if column not in places]
        self.unnamed = table == "events" and "event_id" not in places
        self.columns = list(places)
        self.taking = [(place, _Taking(table, columns[column])) for column, place in places.items()]
        self.instant = self.columns.index("occurred_at") if self.unnamed and "occurred_at" in places else 0
        self.rows: list[Sequence[Any]] = []
        self.lines: list[int] = []
        self.raws: list[Raw] = []
        self.places = self.columns + ["event_id"] * self.unnamed

    def fault(self, values: Sequence[object]) -> str:
        """Why the values make no row."""
        for column, (place, take) in zip(self.columns, self.taking):
            try:
                take.one(values[place])
            except (ValueError, OverflowError, RecursionError) as error:
                return f"{column}: {error}"
        raise AssertionError("there is none")

    def turned(self, columns: Sequence[Sequence[object]]) -> list[tuple[Any, ...]] | None:
        """The rows that become of the values; None when one of them can't be taken."""
        if self.missing:
            return None
        try:
            return list(zip(*(take.all(columns[place]) for place, take in self.taking)))
        except (ValueError, OverflowError, RecursionError):
            return None


class _Writing:
    """Records on their way into the table, those with the same names together."""

    def __init__(
        self,
        at: Transaction,
        table: str,
        columns: Mapping[str, Column],
        ours: Mapping[str, str],
        on_conflict: OnConflict,
        report: Report,
        refuse: Refusal,
    ) -> None:
        self.at = at
        self.table = table
        self.columns = columns
        self.ours = ours
        self.on_conflict = on_conflict
        self.report = report
        self.refuse = refuse
        self.tally = report.tables[table]
        self.identities = Identities()
        self.plans: dict[tuple[str, ...], _Plan] = {}
        self.count = 0
        self.size = 0

    def take(self, came: Record | Batch) -> Batch | None:
        """Take a row, or those of a batch until it is time to flush; what is left of the batch."""
        if isinstance(came, Record):
            self._take_one(came)
            return None
        sizes = list(accumulate(map(len, came.raws), initial=self.size))
        room = min(BATCH - self.count, bisect_left(sizes, BATCH_BYTES))
        self._take_all(came.part(0, room))
        return came.part(room) if room < len(came.raws) else None

    def _take_one(self, record: Record) -> None:
        line, raw, names, values, fault = record
        self.count += 1
        self.tally.read += 1
        self.size += len(raw)
        if fault is not None:
            self.refuse(line, raw, fault)
            return
        plan = self.plans.get(names) or self._plan(names)
        if plan.missing:
            self.refuse(line, raw, f"there is no {plan.missing[0]}")
            return
        try:
            row = [take.one(values[place]) for place, take in plan.taking]
        except (ValueError, OverflowError, RecursionError):
            self.refuse(line, raw, plan.fault(values))
            return
        plan.rows.append(self._named(plan, row))
        plan.lines.append(line)
        plan.raws.append(raw)

    def _take_all(self, batch: Batch) -> None:
        """What `_take_one` does with each; one that can't be taken is looked for in ever smaller parts."""
        if len(batch.raws) <= FEW:
            for record in batch.records():
                self._take_one(record)
            return
        plan = self.plans.get(batch.names) or self._plan(batch.names)
        rows = plan.turned(batch.columns)
        if rows is None:
            half = len(batch.raws) // 2
            self._take_all(batch.part(0, half))
            self._take_all(batch.part(half))
            return
        self.count += len(rows)
        self.tally.read += len(rows)
        self.size += sum(map(len, batch.raws))
        plan.rows += [self._named(plan, [*row]) for row in rows] if plan.unnamed else rows
        plan.lines += range(batch.line, batch.line + len(rows))
        plan.raws += batch.raws

    def _named(self, plan: _Plan, row: list[Any]) -> list[Any]:
        """The row with an id, if it came without one."""
        if plan.unnamed:
            content = repr(row).encode(errors="surrogatepass")
            row.append(self.identities.of(int(row[plan.instant] or 0), content))
        return row

    def flush(self) -> None:
        for plan in self.plans.values():
            self._insert(plan.places, plan.rows, plan.lines, plan.raws)
            plan.rows, plan.lines, plan.raws = [], [], []
        if len(self.plans) > 1_000:  # only the hostile have so many sets of names
            self.plans.clear()
        self.count = self.size = 0

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        plan = self.plans[names] = _Plan(self.table, self.columns, self.ours, names)
        ignored = self.report.ignored_columns.get(self.table, [])
        new = [name for name in plan.ignored if name not in ignored]
        if new and len(ignored) < 100:
            self.report.ignored_columns[self.table] = ignored + new
        return plan

    def _insert(self, columns: Sequence[str], rows: list[Sequence[Any]], lines: list[int], raws: list[Raw]) -> None:
        if not rows:
            return
        try:
            self.tally.written += self.at.insert(self.table, columns, rows, on_conflict=self.on_conflict)
        except RowError as error:
            if len(rows) == 1:
                self.refuse(lines[0], raws[0], " ".join(str(error).split()))
            else:
                half = len(rows) // 2
                self._insert(columns, rows[:half], lines[:half], raws[:half])
                self._insert(columns, rows[half:], lines[half:], raws[half:])


class _Taking:
    """What turns values into those of one column."""

    def __init__(self, table: str, column: Column) -> None:
        self.turn: Callable[[object], int | str | None]
        self.number = column.type == "integer"
        self.lowest, self.highest = -math.inf, math.inf  # of whole numbers that stay as they are
        if column.name in INSTANTS:
            self.turn = partial(_from_the_epoch, instant) if column.name in FROM_THE_EPOCH else instant
            self.lowest, self.highest = SECONDS_BELOW, LAST_INSTANT
        elif column.name in MOMENTS:
            self.turn = moment
        elif column.name in ("status", "old_status", "new_status"):
            self.turn = stage
        else:
            self.turn = whole if self.number else text
        self.default = column.default
        self.required = column.required or column.name == BASE_TABLES[table]
        # the types of what stays as it is
        self.kept = set() if self.turn is not text else {str} if self.required else {str, NoneType}

    def one(self, value: object) -> int | str | None:
        """The column's value; ValueError when there can't be one."""
        ours = self.turn(value)
        if ours is None and self.required:
            ours = self.default
            if ours is None:
                raise ValueError("there is none, which a row can't be without")
        return ours

    def all(self, values: Sequence[Any]) -> Sequence[int | str | None]:
        """What `one` makes of each; sooner where they are all of a kind that is common."""
        kinds = set(map(type, values))
        if kinds <= self.kept:
            return values
        if self.number and kinds == {str} and _digits(values):
            values, kinds = list(map(int, values)), {int}
        if self.number and kinds == {int} and self.lowest <= min(values) and max(values) <= self.highest:
            return values
        if NoneType in kinds:
            nothing = self.one(None)
            rest = iter(self.all([value for value in values if value is not None]))
            return [nothing if value is None else next(rest) for value in values]
        return list(map(self.one, values))


def _digits(values: Sequence[str]) -> bool:
    """Whether each is a number of some digits and nothing else, not too long for one of ours."""
    digits = "".join(values)
    return digits.isascii() and digits.isdecimal() and all(values) and max(map(len, values)) < 20


def text(value: object) -> str | None:
    """Text as it is; numbers and truth as JSON has them, what is nested as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


def stage(value: object) -> str | None:
    found = text(value)
    return found and found.strip().lower()


def whole(value: object) -> int | None:
    """A number, rounded; truth is 1 or 0; empty text is None."""
    if value is None:
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        stripped = value.strip()
        if not stripped:
            return None
        if len(stripped) < 20 and stripped.isascii() and stripped.isdecimal():
            return int(stripped)
        truth = TRUTH.get(stripped.lower())
        if truth is not None:
            return truth
        if not NUMBER.fullmatch(stripped):
            raise ValueError(f"{shown(value)} is no number")
        value = float(stripped) if re.search(r"[.eE]", stripped) else int(stripped)
        if isinstance(value, int):
            return value
    if isinstance(value, float) and math.isfinite(value):
        return math.floor(abs(value) + 0.5) * (-1 if value < 0 else 1)
    raise ValueError(f"{shown(value)} is no number")


def instant(value: object) -> int | None:
    """Milliseconds since the epoch, from ISO 8601 or a number of seconds or milliseconds; empty text is None."""
    if value is None or isinstance(value, bool):
        if value is None:
            return None
        raise ValueError(f"{shown(value)} is no date")
    if isinstance(value, datetime):
        return ((value if value.tzinfo else value.replace(tzinfo=timezone.utc)) - EPOCH) // MILLISECOND
    if isinstance(value, str):
        stripped = value.strip()
        if not stripped:
            return None
        if not NUMBER.fullmatch(stripped):
            return _iso_8601(stripped)
        value = float(stripped) if re.search(r"[.eE]", stripped) else int(stripped)
    if isinstance(value, int):
        return value * 1000 if -SECONDS_BELOW < value < SECONDS_BELOW else value
    if isinstance(value, float) and math.isfinite(value):
        return round(value * 1000 if abs(value) < SECONDS_BELOW else value)
    raise ValueError(f"{shown(value)} is no date")


def moment(value: object) -> str | None:
    """`YYYY-MM-DD HH:MM:SS` in UTC, from what `instant` takes; fractions of a second are dropped."""
    if isinstance(value, str) and MOMENT.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{shown(value)} is no date") from None
        return value
    milliseconds = instant(value)
    if milliseconds is None:
        return None
    try:
        return (EPOCH + timedelta(milliseconds=milliseconds)).replace(tzinfo=None).isoformat(" ", "seconds")
    except OverflowError:
        raise ValueError(f"{shown(value)} is after the year 9999") from None


def _from_the_epoch(turn: Callable[[object], int | None], value: object) -> int | None:
    found = turn(value)
    if found is not None and not 0 <= found <= LAST_INSTANT:
        raise ValueError(f"{shown(value)} is not from 1970 to 9999")
    return found


def _iso_8601(value: str) -> int:
    found = ISO_8601.fullmatch(value)
    if found is None:
        raise ValueError(f"{shown(value)} is no date")
    day, hour, minute, second, fraction, _, sign, hours, minutes = found.groups()
    try:
        midnight = _midnight(day)
    except ValueError:
        raise ValueError(f"{shown(value)} is no date") from None
    of_day = (int(hour or 0) * 60 + int(minute or 0)) * 60 + int(second or 0)
    milliseconds = midnight + of_day * 1000 + (int((fraction + "00")[:3]) if fraction else 0)
    if not sign:
        return milliseconds
    offset = (int(hours) * 60 + int(minutes or 0)) * 60_000
    return milliseconds + (offset if sign == "-" else -offset)


@lru_cache(maxsize=4_000)
def _midnight(day: str) -> int:
    return (datetime.fromisoformat(f"{day}T00:00:00+00:00") - EPOCH) // MILLISECOND


def shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
