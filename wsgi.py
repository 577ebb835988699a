"""The application for a WSGI server, configured by environment variables.

Run it with, for example, `gunicorn wsgi --worker-class gthread --threads 4`.
"""

import logging
import os

from analytics_api.errors import AnalyticsError
from analytics_api.server import logs
from analytics_api.server.api_key_setting import MissingKey
from analytics_api.server.settings import Settings

logs.configure()
log = logging.getLogger("analytics_api")

try:
    settings = Settings.read(os.environ)
    if __name__ == "__main__":
        raise SystemExit("wsgi.py is for a WSGI server; run: analytics-api serve")
    application = settings.application()
except AnalyticsError as error:
    note = "; wsgi.py reads environment variables, but no file .env" if isinstance(error, MissingKey) else ""
    log.critical("cannot start: %s%s", error, note)
    raise SystemExit(3) from None  # gunicorn stops on status 3; after any other it restarts the worker

for warning in settings.warnings():
    log.warning(warning)
