"""Columns of a file, matched by name with those of a base table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from ..database import BASE_TABLES, DERIVED_COLUMNS, Column, Database
from ..errors import IngestError


def table_columns(db: Database, table: str) -> dict[str, Column]:
    """Return the table's columns by name; raise IngestError when it is not one of ours."""
    if table not in BASE_TABLES:
        raise IngestError(f"--table {table}: use one of {', '.join(BASE_TABLES)}")
    return {column.name: column for column in db.columns(table)}


def required_columns(table: str, columns: Mapping[str, Column]) -> list[str]:
    """Return the columns without which there is no row. Events without an id get one."""
    return [
        column.name
        for column in columns.values()
        if (column.required and column.default is None) or (column.name == BASE_TABLES[table] != "event_id")
    ]


def name_key(name: str) -> str:
    """Return what names are compared by: `Lead ID`, `lead-id` and `leadId` are `lead_id`."""
    return re.sub(r"[\s_-]+", "", name).lower()


class NameMap:
    """Names of a file's columns for ours, as `--map THEIRS=OURS` gives them; an empty OURS leaves the column out."""

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.theirs = {name_key(theirs): theirs for theirs in names or {}}
        self.ours = {name_key(theirs): ours.strip().lower() for theirs, ours in (names or {}).items()}

    def check_targets(self, table: str, columns: Mapping[str, Column]) -> None:
        """Raise IngestError for a target that is not a column of the table."""
        for key, ours in self.ours.items():
            if ours and ours not in columns:
                near = get_close_matches(ours, columns, n=2) or list(columns)
                raise IngestError(
                    f"--map {self.theirs[key]}={ours}: the table {table} has no column {ours} to be written; "
                    f"{'did you mean' if len(near) < len(columns) else 'it has'} {', '.join(near)}"
                )

    def check_sources(self, names: Sequence[str], file: str) -> None:
        """Raise IngestError for a name that is not a column of the file."""
        keys = {name_key(name) for name in names}
        for key, theirs in self.theirs.items():
            if key not in keys:
                raise IngestError(f"{file}: --map: there is no column {theirs}; there are {', '.join(names)}")

    def find(self, name: str, columns: Mapping[str, Column] | set[str]) -> str | None:
        """Return our column for a name of the file; "" when it is to be left out, None when there is none."""
        key = name_key(name)
        if key in self.ours:
            return self.ours[key]
        exact = name.strip().lower()
        return exact if exact in columns else next((column for column in columns if name_key(column) == key), None)


class ColumnMatch:
    """Which of a file's columns go where.

    places   our column -> place among the names of the file
    ignored  names that have no place in the table
    missing  our columns that a row needs and the file does not have

    Of two columns with one name the first is taken. Raises IngestError when `--map` leads two columns to one.
    """

    def __init__(self, table: str, columns: Mapping[str, Column], names: Sequence[str], mapped: NameMap) -> None:
        self.places: dict[str, int] = {}
        self.ignored: list[str] = []
        for place, name in enumerate(names):
            column = mapped.find(name, columns)
            if column is not None and column in self.places:
                first = names[self.places[column]]
                if name_key(name) != name_key(first) and {name_key(name), name_key(first)} & mapped.ours.keys():
                    raise IngestError(
                        f"{column} comes from two columns, {first} and {name}; leave one out with --map NAME="
                    )
            if column is not None and column in columns and column not in self.places:
                self.places[column] = place
            elif column != "" and name_key(name) not in DERIVED_KEYS:
                self.ignored.append(name)
        self.missing = [column for column in required_columns(table, columns) if column not in self.places]


DERIVED_KEYS = {name_key(column) for column in DERIVED_COLUMNS}


def find_table(db: Database, names: Sequence[str], mapped: NameMap, file: str) -> str:
    """Return the table that has these columns; raise IngestError when none has, or more than one."""
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
        hint += f", and --map for columns of other names ({nearest} lacks {', '.join(lacking[nearest])})"
    raise IngestError(f"{file}: cannot tell which table its columns are of ({listed(names)}); {hint}")


def check_required(table: str, missing: Sequence[str], names: Sequence[str], file: str) -> None:
    """Raise IngestError when the file lacks a column that a row needs."""
    if missing:
        raise IngestError(
            f"{file}: there is no column {missing[0]}, which a row of {table} cannot be without; "
            f"use --map THEIR_COLUMN={missing[0]} (the columns are {listed(names)})"
        )


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names for people, the first of many."""
    shown = list(names)
    text = ", ".join(name or "one without a name" for name in shown[:most])
    return text if len(shown) <= most else f"{text} and {len(shown) - most} more"
