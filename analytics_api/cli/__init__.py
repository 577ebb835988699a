"""The command `analytics-api`. Each module implements a group of subcommands."""

from .base import main

__all__ = ["main"]
