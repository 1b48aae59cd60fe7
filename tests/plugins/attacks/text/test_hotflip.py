"""Tests how many flips of words HotFlip scores in one step."""

import pytest

from robench.testing.text import title_oracle
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.title_search import TitleSearch


@pytest.mark.parametrize("verify", [1, 3])
def test_as_many_flips_are_scored_as_are_to_be_verified(verify, monkeypatch):
    search = TitleSearch(title_oracle(HotFlip.make(), 1.0))
    search.titles = ["a", "z"]
    monkeypatch.setattr(search, "fits", lambda index, title: title != "too long")
    monkeypatch.setattr(search.oracle, "passes", lambda titles: [title != "refused" for _, title in titles])
    flips = [iter(["a", "b", "too long", "c", "refused", "d", "e"]), iter(["y"])]
    assert list(search.side_by_side(flips, verify)) == [["b", "y"], ["c", "z"], ["d", "z"]][:verify]
