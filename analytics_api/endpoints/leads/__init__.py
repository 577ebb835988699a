"""Sales leads: list and search, detail, pipeline status and export.

The modules: `listing` (the endpoint of the list), `filters` (their parameters and conditions), `search` and `filtered`
(the queries of a page without and with filters), `orders` (sort orders and cursors), `board`, `changes` (since the
board was read), `facets`, `detail`, `contacts` (comparison of addresses), `history`, `status`, `statuses`, `pipeline`,
`export` and `formulas` (CSV formula injection).
"""

from .board import board, board_stage
from .changes import changes
from .detail import detail
from .export import FORMATS, export_leads
from .facets import facets
from .filters import LEAD_FILTERS
from .history import history
from .listing import list_leads, next_query
from .orders import BOARD_CURSOR_PATTERN, CURSOR_PATTERN
from .orders import LIST_ORDERS as ORDERS
from .pipeline import pipeline
from .status import lead_etag, update_status, update_statuses
from .statuses import STATUSES

__all__ = [
    "BOARD_CURSOR_PATTERN",
    "CURSOR_PATTERN",
    "FORMATS",
    "LEAD_FILTERS",
    "ORDERS",
    "STATUSES",
    "board",
    "board_stage",
    "changes",
    "detail",
    "export_leads",
    "facets",
    "history",
    "lead_etag",
    "list_leads",
    "next_query",
    "pipeline",
    "update_status",
    "update_statuses",
]
