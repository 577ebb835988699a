"""Examples of responses and request bodies for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .endpoints.conversions import conversions
from .endpoints.current import current
from .endpoints.dashboard import dashboard
from .endpoints.engagement import engagement
from .endpoints.geo import geo
from .endpoints.leads import (
    board,
    board_stage,
    changes,
    detail,
    facets,
    history,
    list_leads,
    pipeline,
    update_status,
    update_statuses,
    visits,
)
from .endpoints.overview import overview
from .endpoints.pages import entry, exit_, top
from .endpoints.realtime import realtime
from .endpoints.sessions import daily
from .endpoints.site import site
from .endpoints.sources import sources
from .endpoints.storage import storage
from .endpoints.whoami import whoami

LEAD: Final[dict[str, Any]] = {
    "lead_id": 42,
    "enquiry_datetime": "2026-02-23 11:15:00",
    "contact_name": "Rahul Sharma",
    "contact_email": "rahul@example.com",
    "contact_phone": "9876543210",
    "project_name": "Sky Towers",
    "project_location": "Pune",
    "project_source": "WebSite",
    "contact_country_name": "IN",
    "contact_city": "Pune",
    "visitor_id": "abc123...",
    "session_id": "session_123",
    "engagement_score": 74,
    "engagement_label": "Very Hot",
    "form_submit_count": 2,
    "suspicion_score": 5,
    "follow_ups_count": 1,
    "last_follow_up_at": "2026-02-24 09:30:00",
    "status": "contacted",
}

CARD: Final[dict[str, Any]] = {**LEAD, "etag": '"contacted.311"', "stage_since": 1771928100000}
STAGE: Final[dict[str, Any]] = {"status": "contacted", "total": 31, "leads": [CARD], "next": "stage:42:1771928100000"}

SESSION: Final[dict[str, Any]] = {
    "session_id": "session_123",
    "visitor_id": "abc123...",
    "entry_page": "https://example.com/sky-towers",
    "exit_page": "https://example.com/thank-you",
    "country": "IN",
    "started_at": 1740280000000,
    "ended_at": 1740280080000,
    "duration": 80000,
    "engagement_score": 74,
    "event_count": 19,
}

OVERVIEW: Final = {
    "total_sessions": 1234,
    "total_events": 56789,
    "unique_visitors": 890,
    "unique_fingerprints": 750,
    "avg_engagement_score": 42.5,
    "avg_session_duration_s": 185,
    "vpn_suspected_count": 12,
}

DAY: Final = {
    "date": "2026-02-22",
    "total_sessions": 45,
    "unique_visitors": 38,
    "avg_duration": 120.5,
    "avg_engagement": 55.2,
}

RESPONSE_EXAMPLES: Final[dict[Callable[..., Any], Any]] = {
    overview: OVERVIEW,
    daily: [DAY],
    top: [{"page": "https://example.com/home", "views": 234, "unique_sessions": 180}],
    entry: [{"page": "https://example.com/home", "sessions": 120}],
    exit_: [{"page": "https://example.com/thank-you", "sessions": 45}],
    geo: [{"country": "US", "sessions": 500, "unique_visitors": 420}],
    engagement: [
        {"bucket": "0-19", "count": 120},
        {"bucket": "20-39", "count": 85},
        {"bucket": "40-59", "count": 200},
        {"bucket": "60-79", "count": 150},
        {"bucket": "80-100", "count": 45},
    ],
    sources: [
        {"referrer_domain": "google.com", "sessions": 300},
        {"referrer_domain": "(direct)", "sessions": 200},
        {"referrer_domain": "facebook.com", "sessions": 50},
    ],
    site: {
        "time_zone": "Asia/Kolkata",
        "today": "2026-02-23",
        "page_query": "keep",
        "first_day": "2025-01-03",
        "raw_since": None,
        "demo": False,
        "collect_hosts": ["example.com"],
        "machines_today": 12,
    },
    realtime: {
        "active_sessions": 12,
        "events_last_hour": 456,
        "unique_visitors_today": 89,
        "total_sessions_today": 95,
    },
    current: {"visitors": 14, "pages": [{"page": "https://example.com/home", "visitors": 9}]},
    storage: {"total_objects": 15234, "estimated_sessions": 1200},
    whoami: {"name": "wall", "scopes": ["stats"], "expires": "2027-01-01T00:00:00Z"},
    list_leads: {"leads": [LEAD], "total": 187},
    detail: {
        "lead": {
            **LEAD,
            "first_session": SESSION,
            "other_leads": [{"lead_id": 17, "enquiry_datetime": "2026-01-12 08:05:00", "status": "lost"}],
        },
        "sessions": [SESSION],
        "submissions": [
            {
                "submission_id": 501,
                "lead_id": 42,
                "submitted_at": "2026-02-23 11:15:00",
                "project_name": "Sky Towers",
                "visitor_id": "abc123...",
                "session_id": "session_123",
                "contact_email": "rahul@example.com",
                "contact_phone": "9876543210",
                "contact_ip": "198.51.100.20",
                "source": "WebSite",
                "referer": "https://example.com/sky-towers",
                "cta_name": "hero-form",
                "is_primary_lead": 1,
                "is_duplicate_window": 0,
                "payload_json": '{"FIRSTNAME":"Rahul Sharma","EMAIL":"rahul@example.com"}',
                "changes": [{"field": "contact_phone", "from": "9876543210", "to": "9876500000"}],
            }
        ],
    },
    facets: {
        "project": [{"value": "Sky Towers", "count": 120}],
        "source": [{"value": "WebSite", "count": 150}],
        "country": [{"value": "IN", "count": 170}],
        "label": [{"value": "Very Hot", "count": 34}],
    },
    visits: [
        {
            "session_id": "session_123",
            "referrer_domain": "google.com",
            "pages": [
                {"page": "https://example.com/sky-towers", "views": 2},
                {"page": "https://example.com/thank-you", "views": 1},
            ],
        }
    ],
    history: [{"from": "new", "to": "contacted", "changed_at": 1771928100000, "changed_by": "phone"}],
    conversions: [
        {
            "source": "google.com",
            "sessions": 1200,
            "leads": 36,
            "won": 4,
            "lost": 8,
            "open": 24,
            "lead_rate": 0.03,
            "win_rate": 0.3333,
            "median_days_to_lead": 1.25,
            "median_days_to_won": 18.5,
        }
    ],
    pipeline: {
        "stages": [
            {
                "status": "new",
                "leads": 40,
                "entered": 187,
                "median_hours": 5.25,
                "p90_hours": 52.5,
                "advanced": 130,
                "lost": 17,
                "oldest": 1740280000000,
                "without_history": 0,
            }
        ],
        "moves": [{"from": "new", "to": "contacted", "count": 130}],
    },
    board: {"stages": [STAGE], "cursor": "1234"},
    board_stage: STAGE,
    changes: {"cursor": "1236", "changes": [{"lead_id": 42, "status": "qualified"}, {"lead_id": 17, "status": None}]},
    update_status: {"updated": True},
    update_statuses: {
        "updated": [{"lead_id": 43, "etag": '"contacted.312"'}],
        "unchanged": [44],
        "stale": [CARD],
        "not_found": [45],
    },
}

RESPONSE_EXAMPLES[dashboard] = {
    "site": RESPONSE_EXAMPLES[site],
    "range": {"from": "2026-01-25", "to": "2026-02-23", "interval": "day", "filters": {}},
    "overview": {**OVERVIEW, "page_views": 4321},
    "series": [{**DAY, "page_views": 160}],
    "pages": RESPONSE_EXAMPLES[top],
    "entry_pages": RESPONSE_EXAMPLES[entry],
    "exit_pages": RESPONSE_EXAMPLES[exit_],
    "countries": RESPONSE_EXAMPLES[geo],
    "sources": RESPONSE_EXAMPLES[sources],
    "engagement": RESPONSE_EXAMPLES[engagement],
    "realtime": RESPONSE_EXAMPLES[realtime],
    "current": RESPONSE_EXAMPLES[current],
}

REQUEST_EXAMPLES: Final[dict[Callable[..., Any], object]] = {
    update_status: {"status": "contacted"},
    update_statuses: {
        "leads": [{"lead_id": 42, "etag": '"new.0"'}, {"lead_id": 43, "from": "new"}, {"lead_id": 44}, {"lead_id": 45}],
        "status": "contacted",
    },
}
