"""Recognize requests of programs, such as crawlers. They are counted, but not as visitors."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import IngestError, SettingError
from ..values.bots import NO_USER_AGENT, bot_name
from .parse import Event

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_CACHED = 10_000

PREFETCH_HEADERS = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
PREFETCH = ("prefetch", "preview", "prerender")


def require_crawler_list() -> None:
    """Raise an error if the list of crawlers is missing. Without it, crawlers would count as visitors.

    :raises SettingError: the package is missing, or the locale cannot decode its list.
    """
    try:
        bot_name("Mozilla/5.0")
    except IngestError:
        raise SettingError(
            "the collector needs crawler-user-agents: pip install '.[collector]' in the source folder"
        ) from None


def machine_reason(environ: WSGIEnvironment, events: Iterable[Event]) -> str | None:
    """Return how the request was recognized as that of a program, or None if a person sent it."""
    if any(event.get("webdriver") for event in events):
        return "webdriver"
    if any(environ.get(name, "").lower().startswith(PREFETCH) for name in PREFETCH_HEADERS):
        return "prefetch"
    return _agent_reason(environ.get("HTTP_USER_AGENT", ""))


@lru_cache(MAX_CACHED)
def _agent_reason(agent: str) -> str | None:
    name = bot_name(agent)
    if name is None:
        return None
    return NO_USER_AGENT if name == NO_USER_AGENT else "crawler"
