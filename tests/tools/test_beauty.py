"""Tests the comparison of results on Amazon Beauty with published values."""

from types import SimpleNamespace

import pandas as pd
import pytest
from tools.perf.reference import beauty

from robench.api.errors import UserError

COLUMNS = ["dataset", "split", "norm", "model_label", "defense", "metric", "clean", "clean_low", "clean_high", "seeds"]
SASREC = [
    ("beauty", "leave-last-out", norm, "sasrec", defence, metric, value + more, value, value + 0.01, 3)
    for norm in ("l2", "linf")
    for defence, more in (("adversarial-training", 0.9), ("none", 0.0))
    for metric, value in (("ndcg@10", 0.05), ("hr@10", 0.09))
]


@pytest.fixture
def compare(monkeypatch):
    """Returns a function that compares the rows of a leaderboard."""

    def run(rows):
        frame = pd.DataFrame(rows, columns=COLUMNS)
        monkeypatch.setattr(beauty.robench, "load", lambda _: SimpleNamespace(leaderboard=frame))
        return beauty.compare("folder")

    return run


def test_a_model_with_several_rows_has_its_value_without_a_defence(compare, capsys):
    assert compare(SASREC)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "| sasrec | 3 | 0.0500 [0.0500, 0.0600] | 0.0900 [0.0900, 0.1000] | 0.0318 (S3-Rec" in lines[2]


def test_a_low_value_and_a_missing_metric_are_shortfalls(compare, capsys):
    low = [(*row[:6], row[6] / 2, *row[7:]) for row in SASREC]
    assert not compare(low)
    assert "sasrec in ndcg@10" in capsys.readouterr().out
    assert not compare([row for row in SASREC if row[5] == "ndcg@10"])
    assert "sasrec has no hr@10" in capsys.readouterr().out


def test_rows_of_no_or_several_data_sets_are_refused(compare):
    with pytest.raises(UserError, match="folder: 2 data sets"):
        compare(SASREC + [("other", *row[1:]) for row in SASREC])
    with pytest.raises(UserError, match="folder: 0 data sets"):
        compare([row for row in SASREC if row[4] != "none"])
