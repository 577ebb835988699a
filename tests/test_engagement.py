from helpers.client import NOW


def test_engagement_of_empty_database_is_five_zeros(get):
    buckets = get("/analytics/engagement")

    assert buckets == [
        {"bucket": "0-19", "count": 0},
        {"bucket": "20-39", "count": 0},
        {"bucket": "40-59", "count": 0},
        {"bucket": "60-79", "count": 0},
        {"bucket": "80-100", "count": 0},
    ]


def test_engagement_clamps_scores_to_the_end_buckets(database, insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, ended_at=NOW)
    expected = {
        -3: "0-19",
        0: "0-19",
        19: "0-19",
        20: "20-39",
        39: "20-39",
        40: "40-59",
        59: "40-59",
        60: "60-79",
        79: "60-79",
        80: "80-100",
        100: "80-100",
        101: "80-100",
        150: "80-100",
    }

    by_score = {}
    for score in expected:
        database.write(lambda at, score=score: at.execute("update sessions set engagement_score = :score", score=score))
        buckets = get("/analytics/engagement")
        assert [row["bucket"] for row in buckets] == ["0-19", "20-39", "40-59", "60-79", "80-100"]
        assert sum(row["count"] for row in buckets) == 1
        by_score[score] = next(row["bucket"] for row in buckets if row["count"])

    assert by_score == expected


def test_engagement_needs_an_end_and_a_score(insert, get):
    insert("sessions", session_id="s1", visitor_id="ann", started_at=NOW, ended_at=NOW, engagement_score=50)
    insert("sessions", session_id="s2", visitor_id="ann", started_at=NOW, ended_at=NOW, engagement_score=None)
    insert("sessions", session_id="s3", visitor_id="ann", started_at=NOW, ended_at=None, engagement_score=50)
    insert("sessions", session_id="s4", visitor_id="ann", started_at=NOW, ended_at=None, engagement_score=None)
    insert("sessions", session_id="s5", visitor_id="ann", started_at=NOW, ended_at=0, engagement_score=0)

    buckets = get("/analytics/engagement")

    assert buckets == [
        {"bucket": "0-19", "count": 1},
        {"bucket": "20-39", "count": 0},
        {"bucket": "40-59", "count": 1},
        {"bucket": "60-79", "count": 0},
        {"bucket": "80-100", "count": 0},
    ]
