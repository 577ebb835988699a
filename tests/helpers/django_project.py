"""Configure Django. A process can configure it only once."""

import django
from django.conf import settings


def configure():
    """Configure Django with sessions and users in an in-memory database. A second call does nothing."""
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="of the tests",
        ALLOWED_HOSTS=["shop.example", "testserver"],
        LOGGING_CONFIG=None,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    )
    django.setup()
