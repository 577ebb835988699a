import pytest

from analytics_api.errors import StorageError
from analytics_api.storage import Statistics
from analytics_api.storage.directory import Directory


class Bucket:
    """A custom provider with a `statistics` method."""

    def __init__(self, answer):
        self.answer = answer

    def statistics(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.any_engine
def test_storage_without_source_is_null(get):
    storage = get("/analytics/storage")

    assert storage == {"total_objects": None, "estimated_sessions": None}


@pytest.mark.any_engine
def test_storage_counts_a_directory(serve, tmp_path):
    for name in ("sessions/s1/1.json", "sessions/s1/2.json", "sessions/s2.json.gz", "notes.txt"):
        file = tmp_path / "recordings" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    storage = serve(storage=Directory(tmp_path / "recordings")).get("/analytics/storage").json

    assert storage == {"total_objects": 4, "estimated_sessions": 2}


@pytest.mark.parametrize(
    ("statistics", "numbers"),
    [
        (Statistics(15_234, 1_200, 0), {"total_objects": 15_234, "estimated_sessions": 1_200}),
        (Statistics(0, 0, 0), {"total_objects": 0, "estimated_sessions": 0}),
        (Statistics(15_234, None, 0), {"total_objects": 15_234, "estimated_sessions": None}),
    ],
)
def test_storage_accepts_a_custom_source(serve, statistics, numbers):
    storage = serve(storage=Bucket(statistics)).get("/analytics/storage").json

    assert storage == numbers


@pytest.mark.any_engine
@pytest.mark.parametrize("fault", [StorageError("403 from the bucket named secret"), OSError("the host's own fault")])
def test_storage_failure_is_500_with_its_cause_in_the_log(serve, caplog, fault):
    response = serve(storage=Bucket(fault)).get("/analytics/storage")

    assert response.status_code == 500
    assert response.json == {"error": "Analytics query failed"}
    assert str(fault) in caplog.text


@pytest.mark.any_engine
def test_storage_rejects_invalid_numbers(serve, caplog):
    response = serve(storage=Bucket(Statistics(float("nan"), object(), 0))).get("/analytics/storage")

    assert response.status_code == 500
    assert response.json == {"error": "Analytics query failed"}
    assert "Bucket returned nan, which is not a count" in caplog.text
