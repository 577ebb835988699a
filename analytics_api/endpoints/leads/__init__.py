"""Sales leads: list and search, detail, pipeline status and export.

The modules: `listing` (the endpoint of the list), `filters` (their parameters and conditions), `search` and `filtered`
(the queries of a page without and with filters), `orders` (sort orders and cursors), `facets`, `detail`, `contacts`
(comparison of addresses), `history`, `status`, `statuses`, `pipeline`, `export` and `formulas` (CSV formula injection).
"""

from .detail import detail
from .export import FORMATS, export_leads
from .facets import facets
from .filters import FILTERS as LEAD_FILTERS
from .history import history
from .listing import list_leads, next_query
from .orders import CURSOR_PATTERN, ORDERS
from .pipeline import pipeline
from .status import lead_etag, update_status
from .statuses import STATUSES

__all__ = [
    "CURSOR_PATTERN",
    "FORMATS",
    "LEAD_FILTERS",
    "ORDERS",
    "STATUSES",
    "detail",
    "export_leads",
    "facets",
    "history",
    "lead_etag",
    "list_leads",
    "next_query",
    "pipeline",
    "update_status",
]
