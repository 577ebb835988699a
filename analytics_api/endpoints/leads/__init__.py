"""Sales leads: list and search, detail, pipeline status and export.

- `listing`: the endpoint of the list, and `orders`: its sort orders and cursors
- `filters`: the filters of leads and their SQL conditions
- `search`: the queries for a page of leads by a search term and a status; `filtered_search`: with other filters
- `board`: the leads by stage, and `changes`: the leads that changed since the board was read
- `facets`: the values of the filters
- `detail`, `visits` and `history`: one lead; `contacts`: comparison of e-mail addresses and phone numbers
- `status`: changes of the status
- `pipeline`: statistics of the stages
- `export`: CSV and NDJSON
"""

from ...values.statuses import STATUSES
from .board import board, board_stage
from .changes import changes
from .detail import detail
from .export import FORMATS, export_leads
from .facets import facets
from .filters import LEAD_FILTERS
from .history import history
from .listing import list_leads, next_query
from .orders import BOARD_CURSOR_PATTERN, CURSOR_PATTERN, LIST_ORDERS
from .pipeline import pipeline
from .status import lead_etag, update_status, update_statuses
from .visits import visits

__all__ = [
    "BOARD_CURSOR_PATTERN",
    "CURSOR_PATTERN",
    "FORMATS",
    "LEAD_FILTERS",
    "LIST_ORDERS",
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
    "visits",
]
