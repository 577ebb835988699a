"""A dashboard's questions about a site's visitors and its sales leads, answered over HTTP as JSON."""

from .app import create_app as create_app
from .context import Context as Context
from .database import Database as Database
from .database import open_database as open_database
from .errors import AnalyticsError as AnalyticsError
from .errors import DatabaseError as DatabaseError
from .errors import IngestError as IngestError
from .errors import SettingError as SettingError
from .errors import StorageError as StorageError
