import pytest
from helpers import postgres as clusters


class Absent(pytest.Module):
    """What can't even be read without psycopg: skipped whole, or failed."""

    def collect(self):
        clusters.require()


def pytest_pycollect_makemodule(module_path, parent):
    return None if clusters.binaries() else Absent.from_parent(parent, path=module_path)
