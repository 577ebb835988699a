"""What an import did."""

from __future__ import annotations

from dataclasses import dataclass, field

REJECTS_TOLD = 20


@dataclass
class Tally:
    """The rows of one table: how many were read, written, and refused; the rest was there already."""

    read: int = 0
    written: int = 0
    rejected: int = 0

    @property
    def kept(self) -> int:
        return self.read - self.written - self.rejected


@dataclass
class Report:
    """What went where, and what did not."""

    tables: dict[str, Tally] = field(default_factory=dict)
    rejects: list[str] = field(default_factory=list)  # the first REJECTS_TOLD, a line each
    ignored_tables: list[str] = field(default_factory=list)
    ignored_columns: dict[str, list[str]] = field(default_factory=dict)

    def reject(self, table: str, row: str, reason: str) -> None:
        self.tables[table].rejected += 1
        if len(self.rejects) < REJECTS_TOLD:
            self.rejects.append(f"{table} {row}: {reason}")

    def lines(self) -> list[str]:
        """The report for people, a line each."""
        told = []
        for table, tally in self.tables.items():
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
        return told
