"""Tests ``robench.compare``."""

import pytest
from tests.fakes import EMBEDDING, World, ranks

import robench


def test_the_frames_hold_what_the_command_prints(tmp_path):
    for name, left in (("a", 60), ("b", 80)):
        world = World(tmp_path / name, [EMBEDDING])
        for seed in range(3):
            world.cell(ranks(150, 99), seed=seed)
            world.cell(ranks(left + seed, 99), seed=seed, attack="pgd", epsilon=0.05)
        if name == "a":
            world.cell(ranks(150, 99), model="ease")
        world.build()
    frames = robench.compare(tmp_path / "a", str(tmp_path / "b"), rows=["mf"])
    assert frames.differences["value"].tolist() == ["clean", "worst case"]
    assert frames.differences["difference"].round(9).tolist() == [0.0, 0.1]
    assert frames.differences["surface"].isna().tolist() == [True, False]
    assert frames.differences["surface"][1] == "embedding"
    whole = robench.compare(tmp_path / "a", tmp_path / "b")
    assert whole.obstacles.to_dict("records") == [{"what": "ease, none", "why": "only A has this row"}]
    with pytest.raises(robench.UserError, match="a folder is a path, not int"):
        robench.compare(3)
