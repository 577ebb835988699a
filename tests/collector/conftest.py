import pytest
from helpers.collecting import Site


@pytest.fixture
def new_site(database):
    """Return a function that creates a Site. After the test, close its collector, and verify the counters."""
    sites = []

    def new_site(**options):
        sites.append(Site(database, **options))
        return sites[-1]

    yield new_site
    for site in sites:
        site.collector.close()
    assert database.verify() == []


@pytest.fixture
def site(new_site):
    return new_site()


@pytest.fixture
def select(database):
    """Return a function that returns columns of the rows of a table as tuples."""

    def select(columns, table, order="1"):
        return database.tuples(f"select {columns} from {table} order by {order}")

    return select
