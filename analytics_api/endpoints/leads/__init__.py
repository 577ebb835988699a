"""Sales leads: list and search, detail, pipeline status and export.

The modules: `listing` (the endpoint of the list), `search` (the queries of a page), `orders` (sort orders and cursors),
`detail`, `status`, `export` and `formulas` (CSV formula injection).
"""

from .detail import detail
from .export import FORMATS, export_leads
from .listing import STATUSES, list_leads, next_query
from .orders import CURSOR_PATTERN, ORDERS
from .status import lead_etag, update_status

__all__ = [
    "CURSOR_PATTERN",
    "FORMATS",
    "ORDERS",
    "STATUSES",
    "detail",
    "export_leads",
    "lead_etag",
    "list_leads",
    "next_query",
    "update_status",
]
