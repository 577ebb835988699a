"""What an import did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

REJECTS_TOLD = 20


@dataclass
class Tally:
    """The rows of one table: how many were read, written, and refused; the rest was there already.

    Rows that are `made`, of others that were read, are only written.
    """

    read: int = 0
    written: int = 0
    rejected: int = 0
    made: bool = False

    @property
    def kept(self) -> int:
        return 0 if self.made else self.read - self.written - self.rejected


@dataclass
class Report:
    """What went where, and what did not."""

    tables: dict[str, Tally] = field(default_factory=dict)
    rejects: list[str] = field(default_factory=list)  # the first REJECTS_TOLD, a line each
    ignored_tables: list[str] = field(default_factory=list)
    ignored_columns: dict[str, list[str]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)  # of events, how many of each were read
    notes: list[str] = field(default_factory=list)  # what was found out by looking
    lines_read: int | None = None  # of a file of lines
    empty: int = 0  # among them

    def reject(self, table: str, row: str, reason: str) -> None:
        self.tables[table].rejected += 1
        if len(self.rejects) < REJECTS_TOLD:
            self.rejects.append(f"{table} {row}: {reason}")

    def lines(self) -> list[str]:
        """The report for people, a line each."""
        told = []
        for table, tally in self.tables.items():
            if tally.made:
                told.append(f"{table}: {tally.written:,} new")
                continue
            line = f"{table}: {tally.written:,} of {tally.read:,} rows written"
            if tally.kept:
                line += f", {tally.kept:,} were there already"
            if tally.rejected:
                line += f", {tally.rejected:,} refused"
            told.append(line)
        told += [f"refused: {reject}" for reject in self.rejects]
        untold = sum(tally.rejected for tally in self.tables.values()) - len(self.rejects)
        if untold > 0:
            told.append(f"refused: and {untold:,} more")
        for table, columns in self.ignored_columns.items():
            told.append(f"{table}: no place for the columns {', '.join(columns)}")
        if self.ignored_tables:
            told.append(f"no place for the tables {', '.join(self.ignored_tables)}")
        for kind, count in sorted(self.kinds.items(), key=lambda item: (-item[1], item[0])):
            told.append(f"{kind}: {count:,}")
        told += self.notes
        if self.lines_read is not None:
            refused = sum(tally.rejected for tally in self.tables.values())
            empty = f", {self.empty:,} of them empty" if self.empty else ""
            told.append(f"{self.lines_read:,} lines{empty}, {refused:,} refused")
        return told
