"""No acknowledged view is lost when the server and PostgreSQL get SIGKILL. faults/collect_crash.py kills 20 times."""

import pytest
from helpers import postgres
from helpers.killing import kill_while_collecting

pytestmark = pytest.mark.slow


def test_killed_server_loses_no_acknowledged_view(tmp_path):
    survivors = kill_while_collecting(tmp_path, 2, clients=8, views=30)

    assert survivors.acknowledged > 60


@pytest.mark.postgresql
def test_killed_postgresql_loses_no_acknowledged_view(tmp_path):
    cluster = postgres.Cluster("killed").create()
    try:
        survivors = kill_while_collecting(tmp_path, 1, cluster=cluster, clients=8, views=30)
    finally:
        cluster.remove()

    assert survivors.acknowledged > 30
