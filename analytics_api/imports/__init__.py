"""Import access logs, CSV, NDJSON, SQLite files, exports of Cloudflare D1, and rows from Python."""

from .access_log import Site, import_access_log
from .csv_file import import_csv
from .formats import FORMATS, Format, import_file
from .ndjson import import_ndjson
from .rejects import Rejects
from .report import Report, TableCounts
from .rows import import_rows
from .sqlite_file import import_database

__all__ = [
    "FORMATS",
    "Format",
    "Rejects",
    "Report",
    "Site",
    "TableCounts",
    "import_access_log",
    "import_csv",
    "import_database",
    "import_file",
    "import_ndjson",
    "import_rows",
]
