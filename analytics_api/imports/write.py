"""Write converted rows to the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from ..database import BASE_TABLES, IN_LIST, Database, OnConflict, Transaction, in_list_batches
from ..database.row_counts import count_rows
from ..errors import RowError
from ..values.timestamps import now
from .convert import KEEP, MAX_INTEGER, Cell
from .derive import SessionsToCheck
from .event_ids import EventIds
from .purged import INSTANT_COLUMNS, read_purged_before
from .rejects import Raw, RejectHandler, Rejects
from .report import TableCounts

T = TypeVar("T")

# Smallest and largest plausible values of columns of sessions, and a description of other values.
PLAUSIBLE = {
    "duration": (0, MAX_INTEGER, "negative"),
    "engagement_score": (0, 100, "below 0 or above 100"),
}

IMPORTER = "import"  # the name in the status history for changes by an import

# Up to this number of new rows, triggers are faster than rebuilding the counters, even if the database is empty. For
# one row, triggers take a third of the time of a rebuild on SQLite, and a seventh on PostgreSQL.
MAX_TRIGGERED_ROWS = 200
BULK_SHARE = 0.2  # ratio of new rows to stored rows; up to this ratio, triggers are faster than rebuilding counters
MAX_CHEAP_REBUILD = 50_000  # if the number of new rows is unknown, use bulk mode only up to this many stored rows


def load(
    db: Database,
    rows: int | None,
    work: Callable[[Transaction, bool], T],
    on_progress: Callable[[str], object],
    rejects: Rejects,
) -> T:
    """Run `work` in a transaction, in bulk mode if that is faster for this number of rows.

    In bulk mode, triggers are disabled, and the counters of the written tables are rebuilt at the end.

    :param rows: the number of new rows; None if it is unknown.
    :param work: called with the transaction and whether it is in bulk mode. It is called again after a conflict with
        another transaction.
    :param rejects: the file to which `work` writes invalid rows.
    """
    is_bulk = is_bulk_faster(db, rows)
    remove_rejected = rejects.mark()

    def work_as_import(at: Transaction) -> T:
        remove_rejected()
        with at.moving(IMPORTER, now()):
            return work(at, is_bulk)

    return db.bulk(work_as_import, on_progress=on_progress) if is_bulk else db.write(work_as_import)


def is_bulk_faster(db: Database, rows: int | None) -> bool:
    """Return whether rebuilding the counters is faster than updating them for each of the new rows."""
    if rows is not None and rows <= MAX_TRIGGERED_ROWS:
        return False
    stored = sum(count_rows(db).values())
    return stored <= MAX_CHEAP_REBUILD if rows is None else rows > BULK_SHARE * stored


def count_events(db: Database, sessions_to_check: SessionsToCheck, on_progress: Callable[[str], object]) -> int:
    """Set `event_count` of imported sessions if it is missing. Return the number of sessions that were updated."""
    if not sessions_to_check.is_any:
        return 0
    rows = None if sessions_to_check.is_too_many else len(sessions_to_check.ids)
    return load(db, rows, lambda at, is_bulk: sessions_to_check.count(at, is_bulk=is_bulk), on_progress, Rejects())


class Rows:
    """Converted rows, with the line number and the original form of each row."""

    def __init__(
        self,
        values: list[Sequence[Cell]] | None = None,
        lines: list[int] | None = None,
        raws: list[Raw] | None = None,
    ) -> None:
        self.values = values or []
        self.lines = lines or []
        self.raws = raws or []

    def part(self, begin: int, end: int | None = None) -> Rows:
        return Rows(self.values[begin:end], self.lines[begin:end], self.raws[begin:end])


class Writer:
    """Write converted rows to one table. If the database rejects a batch, the invalid rows are found by bisection."""

    def __init__(
        self,
        at: Transaction,
        table: str,
        on_conflict: OnConflict,
        counts: TableCounts,
        reject: RejectHandler,
        sessions_to_check: SessionsToCheck,
        required: Sequence[str],
    ) -> None:
        self.at = at
        self.table = table
        self.on_conflict = on_conflict
        self.counts = counts
        self.reject = reject
        self.sessions_to_check = sessions_to_check
        self.required = required
        self.event_ids = EventIds()
        self.purged_before = read_purged_before(at) if table in INSTANT_COLUMNS else None

    def write(self, columns: Sequence[str], rows: Rows) -> None:
        """Write rows with these columns."""
        if self.purged_before is not None and INSTANT_COLUMNS[self.table] in columns:
            rows = self._remove_purged(columns.index(INSTANT_COLUMNS[self.table]), rows, self.purged_before)
        if self.table == "sessions":
            self._count_outliers(columns, rows)
        if self.table == "events":
            types: Iterable[Any] = map(itemgetter(columns.index("event_type")), rows.values)
            self.reject.report.add_event_types(types if self.on_conflict != "update" else _remove_keep(types))
        if self.on_conflict == "update":
            for present_columns, present_rows in _group_by_columns(BASE_TABLES[self.table], columns, rows):
                self._insert(*self._with_required(columns, present_columns, present_rows))
        else:
            self._insert(columns, rows)
        if self.table == "sessions" and "event_count" not in columns:
            self.sessions_to_check.add_uncounted(map(itemgetter(columns.index("session_id")), rows.values))

    def _remove_purged(self, index: int, rows: Rows, before: int) -> Rows:
        """Remove the rows of purged days, which the archive already counts, and report their number.

        :param index: the index of the column with the timestamp. In an update, the column may be empty.
        """
        rest = [
            number
            for number, row in enumerate(rows.values)
            if not (isinstance(instant := row[index], int) and instant < before)
        ]
        if len(rest) == len(rows.values):
            return rows
        self.counts.purged += len(rows.values) - len(rest)
        return Rows(
            [rows.values[number] for number in rest],
            [rows.lines[number] for number in rest],
            [rows.raws[number] for number in rest],
        )

    def _count_outliers(self, columns: Sequence[str], rows: Rows) -> None:
        """Count implausible values for the report. They are imported, because a tracker may store them, too."""
        for column, (minimum, maximum, description) in PLAUSIBLE.items():
            if column in columns:
                values = map(itemgetter(columns.index(column)), rows.values)
                count = sum(isinstance(value, int) and not minimum <= value <= maximum for value in values)
                if count:
                    self.counts.outliers[column, description] += count

    def _with_required(self, columns: Sequence[str], present: Sequence[str], rows: Rows) -> tuple[Sequence[str], Rows]:
        """Add the stored values of required columns that the rows do not have.

        Without them, an upsert violates `not null`. A row whose key is not in the table is rejected.
        """
        missing = [column for column in self.required if column in columns and column not in present]
        if not missing:
            return present, rows
        key = BASE_TABLES[self.table]
        stored = self._read_stored(key, missing, {row[present.index(key)] for row in rows.values})
        whole = Rows()
        for values, line, raw in zip(rows.values, rows.lines, rows.raws):
            others = stored.get(values[present.index(key)])
            if others is None:
                self.reject(line, raw, f"{missing[0]}: a new row must have a value")
            else:
                whole.values.append([*values, *others])
                whole.lines.append(line)
                whole.raws.append(raw)
        return [*present, *missing], whole

    def _read_stored(self, key: str, columns: Sequence[str], keys: set[Cell]) -> dict[Cell, list[Cell]]:
        """Return the stored values of these columns for each key."""
        sql = f"select {key}, {', '.join(columns)}\nfrom {self.table}\nwhere {key} in ({IN_LIST})"
        rows = [row for listed in in_list_batches(keys) for row in self.at.rows(sql, **listed)]
        return {row[key]: [row[column] for column in columns] for row in rows}

    def _insert(self, columns: Sequence[str], rows: Rows) -> None:
        values: Sequence[Sequence[Any]] = rows.values
        if not values:
            return
        try:
            self.counts.written += self.at.insert(self.table, columns, values, on_conflict=self.on_conflict)
        except RowError as error:
            if len(values) == 1:
                self.reject(rows.lines[0], rows.raws[0], str(error))
                return
            half = len(values) // 2
            self._insert(columns, rows.part(0, half))
            self._insert(columns, rows.part(half))
            return
        if self.table == "events":
            self.sessions_to_check.add_events(map(itemgetter(columns.index("session_id")), values))


def _remove_keep(types: Iterable[Any]) -> Iterator[str]:
    return (event_type for event_type in types if event_type is not KEEP)


def _group_by_columns(key: str, columns: Sequence[str], rows: Rows) -> Iterator[tuple[Sequence[str], Rows]]:
    """Group the rows by the columns that have values. Rows with the same key are merged first."""
    key_index = columns.index(key)
    if len({row[key_index] for row in rows.values}) == len(rows.values) and not any(KEEP in row for row in rows.values):
        yield columns, rows
        return
    groups: dict[tuple[bool, ...], Rows] = {}
    for values, line, raw in _merge_rows(key_index, rows):
        present = tuple(value is not KEEP for value in values)
        group = groups.setdefault(present, Rows())
        group.values.append([value for value in values if value is not KEEP])
        group.lines.append(line)
        group.raws.append(raw)
    for present, group in groups.items():
        yield [column for column, is_present in zip(columns, present) if is_present], group


def _merge_rows(key: int, rows: Rows) -> Iterable[tuple[list[Cell], int, Raw]]:
    """Merge the rows with the same key. The value of a column is that of the last row that has one."""
    merged: dict[Cell, tuple[list[Cell], int, Raw]] = {}
    for row, line, raw in zip(rows.values, rows.lines, rows.raws):
        values = list(row)
        if row[key] in merged:
            values = [old if new is KEEP else new for old, new in zip(merged[row[key]][0], row)]
        merged[row[key]] = values, line, raw
    return merged.values()
