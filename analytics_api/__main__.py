"""`python -m analytics_api` is the command `analytics-api`."""

from .cli import main

main()
