import pytest
from helpers import postgres


class Absent(pytest.Module):
    """What can't even be read without psycopg: skipped whole, or failed."""

    def collect(self):
        postgres.require_binaries()


def pytest_pycollect_makemodule(module_path, parent):
    return None if postgres.find_binaries() else Absent.from_parent(parent, path=module_path)
