"""Import text, and read the rows that were stored."""

import io

from analytics_api.imports import import_file


def import_text(database, text, **options):
    """Import text or bytes as a file, and return the report."""
    data = text if isinstance(text, bytes) else text.encode()
    return import_file(database, io.BytesIO(data), **options)


def select(database, columns, table, order="1"):
    """Return the rows of a table as tuples."""
    return [tuple(row.values()) for row in database.rows(f"select {columns} from {table} order by {order}")]
