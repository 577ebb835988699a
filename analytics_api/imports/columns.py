"""Match the columns of a file with the columns of a base table by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from ..database import BASE_TABLES, DERIVED_COLUMNS, Column, Database
from ..errors import IngestError
from .report import list_names


def table_columns(db: Database, table: str) -> dict[str, Column]:
    """Return the columns of a base table by name.

    :raises IngestError: `table` is not a base table.
    """
    if table not in BASE_TABLES:
        raise IngestError(f"--table {table}: use one of {', '.join(BASE_TABLES)}")
    return {column.name: column for column in db.columns(table)}


def required_columns(table: str, columns: Mapping[str, Column]) -> list[str]:
    """Return the columns that every row must have. `event_id` is not required, because it can be computed."""
    return [
        column.name
        for column in columns.values()
        if (column.required and column.default is None) or (column.name == BASE_TABLES[table] != "event_id")
    ]


def name_key(name: str) -> str:
    """Normalize a column name for comparison: `Lead ID`, `lead-id` and `leadId` become `lead_id`."""
    return re.sub(r"[\s_-]+", "", name).lower()


def check_column(option: str, name: str, table: str, columns: Mapping[str, Column]) -> None:
    """Raise IngestError with similar names if the table does not have the column.

    :param option: the option with the name, for the message.
    """
    if name not in columns:
        near = get_close_matches(name, columns, n=2) or list(columns)
        raise IngestError(
            f"{option}: the table {table} has no column {name} that can be imported; "
            f"{'did you mean' if len(near) < len(columns) else 'it has'} {', '.join(near)}"
        )


class NameMap:
    """A mapping of column names in a file to column names of a table (`--map THEIRS=OURS`).

    If OURS is empty, the column of the file is ignored. THEIRS can be `TABLE.COLUMN` in a file with several tables.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.theirs = {name_key(theirs): theirs for theirs in names or {}}
        self.ours = {name_key(theirs): ours.strip().lower() for theirs, ours in (names or {}).items()}
        self._present: set[str] = set()

    def check_targets(self, table: str, columns: Mapping[str, Column]) -> None:
        """Raise IngestError if a target is not a column of the table."""
        for key, ours in self.ours.items():
            if ours:
                check_column(f"--map {self.theirs[key]}={ours}", ours, table, columns)

    def of_table(self, table: str) -> NameMap:
        """Return the mapping for one table of the file. Its entries for `TABLE.COLUMN` become entries for `COLUMN`."""
        prefix = f"{name_key(table)}."
        result = NameMap()
        result.theirs = self.theirs
        own = {key.removeprefix(prefix): ours for key, ours in self.ours.items() if key.startswith(prefix)}
        result.ours = self.ours | own
        return result

    def check_sources(self, names: Sequence[str], file: str, *, qualified: Iterable[str] = ()) -> None:
        """Raise IngestError if a name is neither a column of the file nor one of the `TABLE.COLUMN` in `qualified`."""
        keys = set(map(name_key, [*names, *qualified]))
        for key, theirs in self.theirs.items():
            if key not in keys:
                raise IngestError(f"{file}: --map: the column {theirs} does not exist; use one of {', '.join(names)}")

    def unused(self) -> list[str]:
        """Return a warning for each mapped name with which `find` was never called.

        `check_sources` cannot check the names of an NDJSON file, because the file has no header.
        """
        return [
            f"--map {theirs}: no row has this column" for key, theirs in self.theirs.items() if key not in self._present
        ]

    def find(self, name: str, columns: Mapping[str, Column] | set[str]) -> str | None:
        """Return the column of the table for a column of the file.

        Return "" if the mapping ignores the column, and None if no column matches.
        """
        key = name_key(name)
        if key in self.ours:
            self._present.add(key)
            return self.ours[key]
        exact = name.strip().lower()
        return exact if exact in columns else next((column for column in columns if name_key(column) == key), None)


class ColumnMatch:
    """The match between the columns of a file and the columns of a table.

    If two columns of the file have the same name, the first is used. In CSV files, `check_repeated` rejects them.

    :ivar indexes: the index of the column in the file, by the column of the table.
    :ivar ignored: the columns of the file that the table does not have.
    :ivar missing: the required columns that the file does not have.
    :raises IngestError: the mapping assigns two columns of the file to the same column of the table.
    """

    def __init__(self, table: str, columns: Mapping[str, Column], names: Sequence[str], mapped: NameMap) -> None:
        self.indexes: dict[str, int] = {}
        self.ignored: list[str] = []
        for index, name in enumerate(names):
            column = mapped.find(name, columns)
            if column is not None and column in self.indexes:
                first = names[self.indexes[column]]
                if name_key(name) != name_key(first) and {name_key(name), name_key(first)} & mapped.ours.keys():
                    raise IngestError(
                        f"{column} matches two columns, {first} and {name}; ignore one of them with --map NAME= "
                        "(in an SQL or SQLite file, --map TABLE.NAME= is for one table)"
                    )
            if column is not None and column in columns and column not in self.indexes:
                self.indexes[column] = index
            elif column != "" and name_key(name) not in DERIVED_KEYS:
                self.ignored.append(name)
        self.missing = [column for column in required_columns(table, columns) if column not in self.indexes]


DERIVED_KEYS = {name_key(column) for column in DERIVED_COLUMNS}


def find_table(db: Database, names: Sequence[str], mapped: NameMap, file: str) -> str:
    """Return the base table that has these columns.

    :raises IngestError: no table or more than one table matches.
    """
    candidates, lacking = [], {}
    for table in BASE_TABLES:
        columns = table_columns(db, table)
        match = {mapped.find(name, columns) for name in names}
        lacking[table] = [column for column in required_columns(table, columns) if column not in match]
        if not lacking[table]:
            candidates.append(table)
    if len(candidates) == 1:
        return candidates[0]
    hint = f"use --table {'|'.join(candidates or BASE_TABLES)}"
    if not candidates:
        nearest = min(lacking, key=lambda table: len(lacking[table]))
        hint += f", and --map to rename columns ({nearest} needs {', '.join(lacking[nearest])})"
        hint += _id_hint(nearest, lacking[nearest])
    raise IngestError(f"{file}: the columns {list_names(names)} do not match exactly one table; {hint}")


def check_required(table: str, missing: Sequence[str], names: Sequence[str], file: str) -> None:
    """Raise IngestError if the file lacks a required column."""
    if missing:
        columns = f"columns {', '.join(missing)}" if len(missing) > 1 else f"column {missing[0]}"
        raise IngestError(
            f"{file}: every row of {table} must have the {columns}; "
            f"use --map THEIR_COLUMN={missing[0]} (the columns are {list_names(names)}){_id_hint(table, missing)}"
        )


def check_repeated(columns: Mapping[str, Column], names: Sequence[str], mapped: NameMap, file: str) -> None:
    """Raise IngestError if two columns of the file match the same column of the table."""
    first: dict[str, str] = {}
    for name in names:
        column = mapped.find(name, columns)
        if column in first:
            raise IngestError(
                f"{file}: the column {column} is repeated ({first[column]}, {name}); rename one of them in the header"
            )
        if column is not None and column in columns:
            first[column] = name


def _id_hint(table: str, missing: Sequence[str]) -> str:
    is_id_missing = BASE_TABLES[table] in missing
    return "; if the rows have no ids, see docs/importing.md, Rows without ids" if is_id_missing else ""
