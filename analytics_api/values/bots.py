"""Detect bots by their user agents, with the patterns of the package crawler-user-agents."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice

from ..errors import IngestError, SettingError

PATTERNS_AT_ONCE = 25  # number of patterns in one regular expression; the search is slower with more

# Health checks and HTTP libraries. The package crawler-user-agents does not list all of them.
PROGRAMS = re.compile(
    r"""
    kube-probe | health-?check | \bGoogleHC/ | ^Prometheus/ | internal\ dummy\ connection | ^PostmanRuntime/ |
    ^insomnia/ | ^node(?:[ /]|$) | ^undici | ^Java/ | guzzle | ^PHP/ | ^Ruby | ^perl | ^libwww""",
    re.VERBOSE | re.IGNORECASE,
)
URL = re.compile(r"\+?https?://\S+")
PRODUCT = re.compile(r"([A-Za-z][\w.-]*(?:\ [\w.-]+)?)/[\dv]")
WORD = re.compile(r"[\w.-]+")
# Product names in the user agents of browsers. They are not used as the name of a bot that imitates a browser.
BROWSER_PRODUCTS = frozenset(
    ("mozilla", "applewebkit", "chrome", "safari", "gecko", "firefox", "version", "mobile", "khtml", "opera", "edg")
)
NO_USER_AGENT = "no user agent"


def bot_name(agent: str) -> str | None:
    """Return the bot's name for a user agent, or None for a browser.

    An empty user agent belongs to a bot, because every browser sends a user agent.

    :raises IngestError: the package crawler-user-agents is not installed.
    """
    if agent.strip() in ("", "-"):
        return NO_USER_AGENT
    match = PROGRAMS.search(agent) or next(filter(None, (part.search(agent) for part in _patterns())), None)
    if match is None:
        return None
    text = URL.sub("", agent)
    for product in PRODUCT.findall(text):
        name: str = product.split()[-1]
        if name.lower() not in BROWSER_PRODUCTS:
            return name
    words = [word for word in WORD.findall(text) if word.lower() not in BROWSER_PRODUCTS]
    matching = [word for word in words if match[0].lower().strip("/ ") in word.lower()]
    name = (matching or words or [match[0]])[0]
    return str(name)


@cache
def _patterns() -> list[re.Pattern[str]]:
    """Join the patterns of crawler-user-agents into regular expressions of PATTERNS_AT_ONCE patterns each."""
    try:
        from crawleruseragents import CRAWLER_USER_AGENTS_DATA
    except ModuleNotFoundError:
        raise IngestError(
            "access logs need crawler-user-agents: pip install '.[server]' in the source folder"
        ) from None
    except UnicodeDecodeError:  # the package reads its list in the encoding of the locale
        raise SettingError("the locale cannot decode the list of crawlers; set LC_ALL=C.UTF-8") from None
    patterns = iter([entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA])
    return [re.compile("|".join(group)) for group in iter(lambda: list(islice(patterns, PATTERNS_AT_ONCE)), [])]
