"""Read expected.sql, which has the views that define the counters of both engines."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

VIEW = re.compile(r"^create view (\w+).*?;$", re.MULTILINE | re.DOTALL)


@cache
def read_expected() -> str:
    return Path(__file__).with_name("expected.sql").read_text(encoding="utf-8")


@cache
def expected_views() -> dict[str, str]:
    """Return the statements that create the views, by the name of the view, in the order of the file."""
    return {view[1]: view[0] for view in VIEW.finditer(read_expected())}
