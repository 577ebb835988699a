import pytest
from helpers import postgres


class Absent(pytest.Module):
    """A test module that cannot be imported without psycopg. It is skipped, or fails if `CI=true` is set."""

    def collect(self):
        postgres.require_binaries()


def pytest_pycollect_makemodule(module_path, parent):
    return None if postgres.find_binaries() else Absent.from_parent(parent, path=module_path)


@pytest.fixture
def database():
    """Yield an empty open database on the primary."""
    with postgres.new_database() as database:
        yield database
