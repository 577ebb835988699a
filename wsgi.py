"""For a WSGI server: `gunicorn wsgi`. The settings come from the environment."""

import logging
import os
import sys

from analytics_api.errors import AnalyticsError
from analytics_api.server import logs
from analytics_api.server.settings import Settings

logs.configure()

try:
    settings = Settings.read(os.environ)
    application = settings.application()
except AnalyticsError as error:
    print(f"analytics_api can't start: {error}", file=sys.stderr, flush=True)
    raise SystemExit(3) from None  # gunicorn gives up on a worker that ends so; on any other it tries again, for ever

for warning in settings.warnings():
    logging.getLogger("analytics_api").warning(warning)
