"""For a WSGI server: `gunicorn wsgi --worker-class gthread --threads 4`. The settings come from the environment."""

import logging
import os

from analytics_api.errors import AnalyticsError
from analytics_api.server import logs
from analytics_api.server.settings import Settings

logs.configure()
log = logging.getLogger("analytics_api")

try:
    settings = Settings.read(os.environ)
    application = settings.application()
except AnalyticsError as error:
    log.critical("cannot start: %s", error)
    raise SystemExit(3) from None  # gunicorn stops on this status; on another it would start workers for ever

for warning in settings.warnings():
    log.warning(warning)
