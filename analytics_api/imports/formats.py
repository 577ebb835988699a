"""Import a file of any supported format, and detect the format from its first lines."""

from __future__ import annotations

import codecs
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import BinaryIO, Literal, NamedTuple, get_args

from ..database import Database, OnConflict, ignore_progress
from ..errors import IngestError
from .access_log import SITE, Site, import_access_log, looks_like_log
from .columns import NameMap, find_table
from .csv_file import import_csv
from .csv_header import check_delimiter, check_encoding, read_header
from .derive import SessionsToCheck
from .ndjson import import_ndjson
from .rejects import Rejects
from .report import Report
from .rows import OnWrite, RowOptions, ignore_write
from .source import Input, OnRead, Source, ignore_read
from .sqlite_file import import_database

Format = Literal["log", "csv", "ndjson", "sql", "sqlite"]
FORMATS: tuple[Format, ...] = get_args(Format)

SQL = re.compile(rb"(?:--|/\*|(?:PRAGMA|BEGIN|CREATE|INSERT|DROP|DELETE)\b)", re.IGNORECASE)


def import_file(
    db: Database,
    source: Input,
    *,
    format: Format | None = None,
    name: str | None = None,
    table: str | None = None,
    map: Mapping[str, str] | None = None,
    map_values: Mapping[str, Mapping[str, str]] | None = None,
    date_format: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    site: Site = SITE,
    on_conflict: OnConflict = "ignore",
    strict: bool = False,
    rejects: Rejects | str | os.PathLike[str] | BinaryIO | None = None,
    sessions_to_check: SessionsToCheck | None = None,
    on_read: OnRead = ignore_read,
    on_write: OnWrite = ignore_write,
    on_progress: Callable[[str], object] = ignore_progress,
) -> Report:
    """Import a file or an open stream in one transaction, and return a report.

    The file can be an access log, CSV, NDJSON, the SQL of a D1 export, or an SQLite file. It can be compressed with
    gzip. Importing an empty file does nothing. `import_rows` describes the parameters that are not listed here, except
    `sessions_to_check` (see Options) and `on_read` (see Source).

    :param format: None to detect the format.
    :param table: for CSV and NDJSON; None for the table with matching columns.
    :param map: for all formats except logs.
    :param map_values: for all formats except logs.
    :param date_format: for all formats except logs.
    :param delimiter: for CSV.
    :param encoding: for CSV.
    :param site: for logs.
    :raises IngestError: the format is unknown, or the file cannot be read. Nothing was written.
    """
    description = Description(table, map, check_delimiter(delimiter), check_encoding(encoding), site)
    lines = Source(source, name=name, encoding=encoding, on_read=on_read)
    sample = lines.sample()
    if not sample:
        return Report(lines_read=0)
    format = format or detect_format(sample) or ("csv" if description.is_csv and is_text(sample) else None)
    if format is None or (format in ("csv", "ndjson") and is_unreadable(sample)):
        raise IngestError(f"{lines.name}: {describe_unknown(sample)}")
    with ExitStack() as stack:
        if not isinstance(rejects, Rejects):
            rejects = stack.enter_context(Rejects(rejects, inputs=[lines.path] if lines.path else ()))
        options = RowOptions(
            map=map or {},
            map_values=map_values or {},
            date_format=date_format,
            on_conflict=on_conflict,
            strict=strict,
            rejects=rejects,
            sessions_to_check=sessions_to_check,
            on_write=on_write,
            on_progress=on_progress,
        )
        report = _import(db, format, lines, sample, options, description, on_read)
    unused = description.unused_options(format, options)
    report.warnings += [f"{option} has no effect on {FILES[format]}" for option in unused]
    return report


FILES: dict[Format, str] = {
    "log": "a log file",
    "csv": "a CSV file",
    "ndjson": "an NDJSON file",
    "sql": "an SQL dump",
    "sqlite": "an SQLite file",
}

# The option of `analytics-api import` for each field of Site.
SITE_OPTIONS = {
    "url": "--site",
    "hosts": "--host",
    "assets": "--asset-extensions",
    "query": "--no-query",
    "timeout": "--timeout",
    "bots": "--bots",
}


class Description(NamedTuple):
    """The options that describe a file. Each format uses only some of them."""

    table: str | None
    map: Mapping[str, str] | None
    delimiter: str | None
    encoding: str
    site: Site

    @property
    def is_csv(self) -> bool:
        """Whether the options imply that text of an unknown format is CSV."""
        return bool(self.table or self.map or self.delimiter or self.encoding != "utf-8")

    def unused_options(self, format: Format, options: RowOptions) -> list[str]:
        """Return the options that have no effect with this format."""
        unused = {
            "--table": self.table and format not in ("csv", "ndjson"),
            "--map": self.map and format == "log",
            "--map-value": options["map_values"] and format == "log",
            "--date-format": options["date_format"] and format == "log",
            "--delimiter": self.delimiter and format != "csv",
            "--encoding": self.encoding != "utf-8" and format != "csv",
            "--update": options["on_conflict"] == "update" and format == "log",
            **{
                option: getattr(self.site, name) != getattr(SITE, name) and format != "log"
                for name, option in SITE_OPTIONS.items()
            },
        }
        return [option for option, is_unused in unused.items() if is_unused]


def _import(
    db: Database,
    format: Format,
    lines: Source,
    sample: list[bytes],
    options: RowOptions,
    description: Description,
    on_read: OnRead,
) -> Report:
    table, _, delimiter, encoding, site = description
    if format in ("sql", "sqlite"):
        return _database(db, lines, options, on_read)
    if format == "log":
        return import_access_log(
            db,
            lines,
            site=site,
            strict=options["strict"],
            rejects=options["rejects"],
            on_write=options["on_write"],
            on_progress=options["on_progress"],
        )
    if format == "csv":
        return import_csv(db, lines, table=table, delimiter=delimiter, encoding=encoding, **options)
    table = table or _table_of(db, sample, NameMap(options["map"]), lines.name)
    return import_ndjson(db, lines, table=table, **options)


def describe_unknown(sample: list[bytes]) -> str:
    """Return a hint about a file of an unknown format, for an error message."""
    head = b"".join(sample[:20]).removeprefix(codecs.BOM_UTF8)
    if not head.strip():
        return "its first lines are empty"
    if D1_RESULTS.match(head):
        return "it may be a JSON array: convert it to NDJSON with jq -c '.[].results[]'"
    for start, what in UNKNOWN_FILES.items():
        if head.startswith(start):
            return what
    if LOG_TIME.search(head):
        return UNKNOWN_LOG
    return f"its format is unknown; use --format {'|'.join(FORMATS)}"


def is_text(sample: list[bytes]) -> bool:
    """Return whether the sample is text, and not a JSON array."""
    return not any(b"\0" in line for line in sample[:100]) and not JSON_ARRAY.match(b"".join(sample[:3]))


def is_unreadable(sample: list[bytes]) -> bool:
    """Return whether the sample is certainly neither CSV nor NDJSON, and describe_unknown() has a hint about it."""
    return not is_text(sample) and sample[0].startswith(tuple(UNKNOWN_FILES))


JSON_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*\{")
D1_RESULTS = re.compile(rb'\[\s*\{\s*"results":')  # the output of `wrangler d1 execute --json`
UNKNOWN_FILES = {
    b"PK\3\4": "it is a zip file or an Excel workbook: unpack it, or save it as CSV",
    b"\xfd7zXZ": "it is compressed with xz: decompress it",
    b"BZh": "it is compressed with bzip2: decompress it",
    b"[": "it may be a JSON array: convert it to NDJSON with jq -c '.[]'",
}
UNKNOWN_LOG = "it may be an access log, but is not in the Common or Combined format"
JSON_LOG_KEYS = {"request", "status"}  # in each line of an access log of Caddy
LOG_TIME = re.compile(
    rb"\[\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d.{0,40} \"?(?:GET|POST|HEAD) /"
)


def detect_format(sample: list[bytes]) -> Format | None:
    """Return the format of a file that begins with these lines, or None if it is unknown."""
    if sample[0].startswith(b"SQLite format 3\0"):
        return "sqlite"
    if looks_like_log(sample):
        return "log"
    begin = b"".join(sample[:100]).removeprefix(codecs.BOM_UTF8).lstrip()
    if begin.startswith(b"{"):
        return "ndjson"
    if SQL.match(begin):
        return "sql"
    if begin.startswith(tuple(UNKNOWN_FILES)):
        return None
    header = read_header(sample)
    if header is not None and sum(map(bool, header.names)) > 1 and b"\0" not in begin:
        return "csv"
    return None


def _table_of(db: Database, sample: list[bytes], mapped: NameMap, name: str) -> str:
    """Return the table whose columns match the first JSON object."""
    for line in sample:
        try:
            row = json.loads(line.removeprefix(codecs.BOM_UTF8))
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            try:
                return find_table(db, list(row), mapped, name)
            except IngestError:
                if row.keys() >= JSON_LOG_KEYS:
                    raise IngestError(f"{name}: {UNKNOWN_LOG}") from None
                raise
    raise IngestError(f"{name}: none of the first lines of the file is a JSON object")


def _database(db: Database, lines: Source, options: RowOptions, on_read: OnRead) -> Report:
    if lines.path is not None:
        return import_database(db, lines.path, **options, on_read=on_read)
    try:
        with tempfile.NamedTemporaryFile() as file:  # SQLite can open only a named file
            file.writelines(lines)
            file.flush()
            return import_database(db, file.name, name=lines.name, **options)
    except OSError as error:
        raise IngestError(f"{lines.name}: cannot be copied to a temporary file: {error.strerror}") from error
