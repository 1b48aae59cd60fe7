"""Tests the filter on the likelihood of titles, with a fake language model."""

import numpy as np
import pytest

from robench.api import Catalogue, Item
from robench.engine.surfaces.text import likelihood


@pytest.fixture
def scored(monkeypatch, tmp_path):
    """Gives title "t<n>" the likelihood −n, and any other title −1000."""
    asked = []

    def score(titles):
        asked.extend(titles)
        return np.array([-float(title[1:]) if title[1:].isdigit() else -1000.0 for title in titles])

    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(likelihood, "has_language_model", lambda: True)
    monkeypatch.setattr(likelihood, "packaged_identity", lambda: "fake")
    monkeypatch.setattr(likelihood, "title_likelihood", score)
    return asked


def catalogue(count):
    return Catalogue(tuple(map(str, range(count))), tuple(Item(f"t{number}") for number in range(count)))


def rows(*titles):
    return [{"item": "0", "row": 0, "before": "t0", "after": title, "edits": 1} for title in titles]


@pytest.mark.parametrize(("count", "threshold"), [(100, -94.0), (10, -9.0), (40, -37.0)])
def test_the_filter_alarms_at_no_more_than_a_twentieth_of_the_genuine_titles(scored, count, threshold):
    changed = rows(f"t{-threshold:.0f}", f"t{-threshold + 1:.0f}", "odd", "t3")
    assert likelihood.filter_reach(changed, catalogue(count)) == {"filter_reach": 0.5, "filter_threshold": threshold}
    alarms = sum(-number < threshold for number in range(count))
    assert alarms == int(0.05 * count)
    assert [row["likelihood_after"] for row in changed] == [threshold, threshold - 1, -1000, -3]
    assert {row["likelihood_before"] for row in changed} == {0}


def test_the_threshold_is_computed_once_and_from_a_thousand_titles(scored):
    for _ in range(2):
        likelihood.filter_reach(rows("t1"), catalogue(1500))
    assert len(scored) == 1000 + 4


def test_without_a_language_model_or_a_title_nothing_is_stored(scored, monkeypatch):
    assert likelihood.filter_reach([], catalogue(10)) == {}
    monkeypatch.setattr(likelihood, "has_language_model", lambda: False)
    changed = rows("t1")
    assert likelihood.filter_reach(changed, catalogue(10)) == {}
    assert "likelihood_after" not in changed[0]
    assert not scored
