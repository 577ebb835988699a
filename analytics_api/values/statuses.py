"""The stages of the pipeline."""

from __future__ import annotations

from typing import Final, Literal, get_args

Status = Literal["new", "contacted", "qualified", "proposal", "won", "lost"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)
