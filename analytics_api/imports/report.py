"""The report of an import."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MAX_REPORTED_REJECTS = 20
MAX_REPORTED_NAMES = 20
MAX_COUNTED_TYPES = 1_000  # event types that are counted separately
MAX_REPORTED_TYPES = 10

# Control characters, and surrogates, which cannot be encoded.
NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass
class TableCounts:
    """The numbers of rows of a table.

    A row that was read, but not written, rejected or purged, has the key of a row in the database or earlier in the
    file.

    :param joined: the number of existing sessions that an import merged with other sessions.
    :param purged: the number of rows that were skipped because their days were purged. The archive counts these rows.
    :param is_computed: whether the rows are sessions that are computed from log lines. If so, only `written` and
        `joined` are used.
    :param derived: the number of derived values of each column.
    :param outliers: the number of rows by column and description of their implausible value. These rows are imported.
    :param relative_referrers: the number of referrers that are not absolute URLs, so no domain is derived from them.
    """

    read: int = 0
    written: int = 0
    rejected: int = 0
    joined: int = 0
    purged: int = 0
    is_computed: bool = False
    derived: Counter[str] = field(default_factory=Counter)
    outliers: Counter[tuple[str, str]] = field(default_factory=Counter)
    relative_referrers: int = 0

    @property
    def existing(self) -> int:
        return 0 if self.is_computed else self.read - self.written - self.rejected - self.purged


@dataclass
class Report:
    """The result of an import."""

    tables: dict[str, TableCounts] = field(default_factory=dict)
    # For each table and reason, the message about the first rejected row; at most MAX_REPORTED_REJECTS messages.
    rejects: list[str] = field(default_factory=list)
    # The number of rejected rows by table and reason, in the order of `rejects`.
    reject_counts: dict[tuple[str, str], int] = field(default_factory=dict)
    ignored_tables: list[str] = field(default_factory=list)
    ignored_columns: dict[str, list[str]] = field(default_factory=dict)
    event_types: Counter[str] = field(default_factory=Counter)  # number of events by type
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines_read: int | None = None  # without the header of a CSV file; None for an SQLite file
    empty_lines: int = 0  # included in lines_read

    @property
    def is_all_rejected(self) -> bool:
        """Whether there were rows, and all of them were rejected."""
        read = sum(counts.read for counts in self.tables.values())
        return 0 < read == sum(counts.rejected for counts in self.tables.values())

    def reject(self, table: str, row: str, reason: str) -> None:
        self.tables[table].rejected += 1
        if (table, reason) in self.reject_counts:
            self.reject_counts[table, reason] += 1
        elif len(self.rejects) < MAX_REPORTED_REJECTS:
            self.reject_counts[table, reason] = 1
            self.rejects.append(f"{table} {row}: {reason}")

    def add_ignored_columns(self, table: str, names: Iterable[str]) -> None:
        ignored = self.ignored_columns.get(table, [])
        new = [name for name in names if name not in ignored]
        if new and len(ignored) < 100:
            self.ignored_columns[table] = ignored + new

    def add_event_types(self, types: Iterable[str]) -> None:
        self.event_types.update(types)
        if len(self.event_types) > MAX_COUNTED_TYPES:
            others = self.event_types.most_common()[MAX_COUNTED_TYPES // 2 :]
            for name, _ in others:
                del self.event_types[name]
            self.event_types["(others)"] += sum(count for _, count in others)

    def lines(self) -> list[str]:
        """Return the report as lines of text, with the characters of NOT_PRINTABLE escaped."""
        lines = [*self._table_lines(), *self._reject_lines(), *self._ignored_lines(), *self._event_lines()]
        lines += [*self.notes, *(f"warning: {warning}" for warning in self.warnings)]
        if not any(counts.read for counts in self.tables.values()):
            lines.append("warning: the file has no rows")
        if self.lines_read is not None:
            rejected = sum(counts.rejected for counts in self.tables.values())
            empty = f", {self.empty_lines:,} of them empty" if self.empty_lines else ""
            unit = "line" if self.lines_read == 1 else "lines"
            lines.append(f"{self.lines_read:,} {unit}{empty}, {rejected:,} rejected")
        return [printable(line) for line in lines]

    def _table_lines(self) -> Iterable[str]:
        for table, counts in self.tables.items():
            if counts.is_computed:
                joined = f", {counts.joined:,} joined with others" if counts.joined else ""
                yield f"{table}: {counts.written:,} new{joined}"
                continue
            line = f"{table}: {counts.written:,} of {counts.read:,} rows written"
            if counts.existing:
                line += f", {counts.existing:,} existing or repeated"
            if counts.purged:
                line += f", {counts.purged:,} of purged days left out"
            if counts.rejected:
                line += f", {counts.rejected:,} rejected"
            yield line
        for table, counts in self.tables.items():
            for column, count in counts.derived.items():
                if count:
                    yield f"{table}: {column} derived for {count:,} rows{DERIVED_FROM.get(column, '')}"
            for (column, description), count in counts.outliers.items():
                yield (
                    f"warning: {table}: {column} is {description} (rows: {count:,}); averages include these values, "
                    "so correct the file and import again with --update"
                )
            if counts.relative_referrers:
                yield (
                    f"warning: {table}: referrers that are not URLs give no source "
                    f"(rows: {counts.relative_referrers:,}); if they are hosts, import again with "
                    "--update --map COLUMN=referrer_domain"
                )

    def _reject_lines(self) -> Iterable[str]:
        for reject, count in zip(self.rejects, self.reject_counts.values()):
            yield f"rejected: {reject}{f' ({count:,} rows)' if count > 1 else ''}"
        more = sum(counts.rejected for counts in self.tables.values()) - sum(self.reject_counts.values())
        if more > 0:
            yield f"rejected: {more:,} more rows"

    def _ignored_lines(self) -> Iterable[str]:
        for table, columns in self.ignored_columns.items():
            yield f"{table}: ignored the columns {list_names(columns)}"
        if self.ignored_tables:
            yield f"ignored the tables {list_names(self.ignored_tables)}"

    def _event_lines(self) -> Iterable[str]:
        if not self.event_types:
            return
        ranked = sorted(self.event_types.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{name} {count:,}" for name, count in ranked[:MAX_REPORTED_TYPES])
        more = f" and {len(ranked) - MAX_REPORTED_TYPES} more types" if len(ranked) > MAX_REPORTED_TYPES else ""
        yield f"events by type: {shown}{more}"
        if "page_view" not in self.event_types:
            is_log = any(counts.is_computed for counts in self.tables.values())
            rename = "; to rename a type, import again with --update --map-value event_type:NAME=page_view"
            yield (
                "warning: there is no page_view event, and only such events count as page views"
                f"{'' if is_log else rename}"
            )


DERIVED_FROM = {
    "referrer_domain": " from referrer",
    "duration": " from started_at and ended_at",
    "event_id": " from the event's content",
    "event_count": " from their events",
}


def printable(text: str) -> str:
    """Escape control characters, which could change the state of a terminal, and surrogates."""
    return NOT_PRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def list_names(names: Sequence[str]) -> str:
    """Return the first MAX_REPORTED_NAMES names for a message."""
    shown = ", ".join(name[:100] or "(unnamed)" for name in names[:MAX_REPORTED_NAMES])
    return shown if len(names) <= MAX_REPORTED_NAMES else f"{shown} and {len(names) - MAX_REPORTED_NAMES} more"
