"""For a WSGI server: `gunicorn wsgi`. The settings come from the environment."""

import logging
import os

from analytics_api import logs
from analytics_api.errors import AnalyticsError
from analytics_api.settings import Settings

logs.configure()

try:
    settings = Settings.read(os.environ)
    application = settings.application()
except AnalyticsError as error:
    raise SystemExit(f"analytics_api can't start: {error}") from None

for warning in settings.warnings():
    logging.getLogger("analytics_api").warning(warning)
