"""Sales leads: the list and its search, one lead in detail, the pipeline status, and the export.

One resource in several modules: `listing` (a page of the list), `search` (how a page is found), `orders` (sort orders
and cursors), `detail`, `status` and `export`.
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
