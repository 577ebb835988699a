"""Conversions: how many sessions become leads, and leads customers."""

from __future__ import annotations

from .counts import ATTRIBUTIONS, BY
from .listing import conversions

__all__ = ["ATTRIBUTIONS", "BY", "conversions"]
