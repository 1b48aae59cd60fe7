import pytest

from robench_plugins.models.chat.answer import Ranking, read_ranking


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"ids": [3, 1, 2]}', Ranking((2, 0, 1))),
        ('Sure!\n```json\n{"ids": [3, 1, 2]}\n```', Ranking((2, 0, 1))),
        ("[2, 1]", Ranking((1, 0), missing=1)),
        ('{"ids": ["3", "1"]}', Ranking((2, 0), missing=1)),
        ('{"ids": [2, 2, 9, 0, -1, 2]}', Ranking((1,), invented=3, repeated=2, missing=2)),
        ('{"ids": [true, 1.0, null, "x", {"a": 1}]}', Ranking((), invented=5, missing=3)),
        ('{"ids": [3, 1', Ranking((), missing=3)),
        ('{"ids": 3}', Ranking((), missing=3)),
        ("3, 1, 2", Ranking((), missing=3)),
        ("", Ranking((), missing=3)),
        ("[" * 50_000, Ranking((), missing=3)),
        ('{"ids": ["99999999999999999999"]}', Ranking((), invented=1, missing=3)),
    ],
)
def test_rankings_by_hand(text, expected):
    assert read_ranking(text, 3) == expected
