"""Any file that can be imported: what it is shows in how it begins."""

from __future__ import annotations

import codecs
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Literal, get_args

from ..database import Database, OnConflict, ignore_progress
from ..errors import IngestError
from . import access_log
from .access_log import SITE, Site, import_access_log
from .csv_file import header, import_csv, table_of
from .ndjson import import_ndjson
from .rejects import Rejects
from .report import Report
from .source import Given, Heard, Source, unread
from .sqlite_file import import_database

Format = Literal["log", "csv", "ndjson", "sql", "sqlite"]
FORMATS: tuple[Format, ...] = get_args(Format)

SQL = re.compile(rb"(?:--|/\*|(?:PRAGMA|BEGIN|CREATE|INSERT|DROP|DELETE)\b)", re.IGNORECASE)


def import_file(
    db: Database,
    source: Given,
    *,
    format: Format | None = None,
    name: str | None = None,
    table: str | None = None,
    map: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    site: Site = SITE,
    on_conflict: OnConflict = "ignore",
    strict: bool = False,
    rejects: Rejects | str | os.PathLike[str] | BinaryIO | None = None,
    read: Heard = unread,
    written: Callable[[int, int | None], object] = lambda rows, of: None,
    on_progress: Callable[[str], object] = ignore_progress,
) -> Report:
    """Import a file by its path, or an opened stream, in one transaction; what was done.

    The format is found by looking, unless it is given: an access log, CSV, JSON objects by line, the SQL of a D1
    export, an SQLite database; each plain or gzipped. An empty file is none of them, and nothing is done. `table`,
    `map`, `delimiter` and `encoding` are for CSV and NDJSON, `site` for access logs, `existing` for all but these. What
    they mean, and what of the callbacks is heard, is said where each format is: `import_access_log`, `import_csv`,
    `import_ndjson`, `import_database`. `rejects` takes the rows that can't be taken.

    Raises IngestError when nothing shows what the file is, or it can't be read; then nothing was written.
    """
    lines = Source(source, name=name, read=read)
    sample = lines.sample()
    if not sample:
        return Report(lines_read=0)
    format = format or format_of(sample)
    if format is None:
        raise IngestError(
            f"{lines.name}: nothing shows what it is; say which of {', '.join(FORMATS)}, if it is one of these"
        )
    owned = not isinstance(rejects, Rejects)
    bad = rejects if isinstance(rejects, Rejects) else Rejects(rejects)
    with_rows: dict[str, Any] = {"strict": strict, "rejects": bad, "written": written, "on_progress": on_progress}
    try:
        if format in ("sql", "sqlite"):
            return _database(db, lines, on_conflict=on_conflict, read=read, **with_rows)
        if format == "log":
            return import_access_log(db, lines, site=site, **with_rows)
        with_rows |= {"map": map, "on_conflict": on_conflict}
        if format == "csv":
            return import_csv(db, lines, table=table, delimiter=delimiter, encoding=encoding, **with_rows)
        return import_ndjson(db, lines, table=table or _table_of(db, sample, map, lines.name), **with_rows)
    finally:
        if owned:
            bad.close()


def format_of(sample: list[bytes]) -> Format | None:
    """What a file that begins with these lines is; None when it is nothing that we know."""
    if sample[0].startswith(b"SQLite format 3\0"):
        return "sqlite"
    if access_log.looks_like(sample):
        return "log"
    begin = b"".join(sample[:100]).removeprefix(codecs.BOM_UTF8).lstrip()
    if begin.startswith(b"{"):
        return "ndjson"
    if SQL.match(begin):
        return "sql"
    head = header(sample)
    if head is not None and len(head.names) > 1 and b"\0" not in begin and all(head.names):
        return "csv"
    return None


def _table_of(db: Database, sample: list[bytes], map: Mapping[str, str] | None, name: str) -> str:
    """The table of JSON objects: that of the first one's keys."""
    for line in sample:
        try:
            row = json.loads(line.removeprefix(codecs.BOM_UTF8))
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            return table_of(db, row, map, name)
    raise IngestError(f"{name}: no line of its beginning is a JSON object")


def _database(db: Database, lines: Source, *, read: Heard, **options: Any) -> Report:
    if lines.path is not None:
        return import_database(db, lines.path, read=read, **options)
    with tempfile.NamedTemporaryFile() as file:  # SQLite opens files by their names
        file.writelines(lines)
        file.flush()
        return import_database(db, file.name, **options)
