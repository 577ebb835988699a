"""Conversions: how many sessions become leads, and how many leads become customers."""

from __future__ import annotations

from .counts import ATTRIBUTIONS, BY
from .listing import conversions

__all__ = ["ATTRIBUTIONS", "BY", "conversions"]
