import pytest
from helpers import postgres


class Absent(pytest.Module):
    """A module that cannot be imported without psycopg; it is skipped, or fails where `CI=true` is set."""

    def collect(self):
        postgres.require_binaries()


def pytest_pycollect_makemodule(module_path, parent):
    return None if postgres.find_binaries() else Absent.from_parent(parent, path=module_path)
