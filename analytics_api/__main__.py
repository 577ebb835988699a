"""`python -m analytics_api` is the command `analytics-api`."""

from analytics_api_command import main

main()
