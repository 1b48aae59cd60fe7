"""Tests how many flips of words HotFlip scores in one step."""

from types import SimpleNamespace

import pytest

from robench_plugins.attacks.text.hotflip import HotFlip


@pytest.mark.parametrize("verify", [1, 3])
def test_as_many_flips_are_scored_as_are_to_be_verified(verify):
    search = SimpleNamespace(titles=["a", "z"], fits=lambda index, title: title != "too long")
    flips = [iter(["a", "b", "too long", "c", "d", "e"]), iter(["y"])]
    scored = list(HotFlip.make(verify=verify)._side_by_side(search, flips))
    assert scored == [["b", "y"], ["c", "z"], ["d", "z"]][:verify]
