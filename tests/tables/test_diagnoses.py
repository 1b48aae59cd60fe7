"""Tests the advice for attacks that take only one draw of a stochastic victim."""

import pytest
from tests.fakes import World, ranks, row

from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.text.hotflip import HotFlip


@pytest.mark.parametrize(
    ("attack", "remedy"), [(Pgd, "set its expectation"), (HotFlip, "it averages no gradients, so compare it")]
)
def test_a_flag_of_single_draws_advises_no_setting_that_the_attack_lacks(tmp_path, attack, remedy):
    threat = attack.make(goal="untargeted").threat().as_dict()
    world = World(tmp_path / "w", [{**threat, "metric": "ndcg@10", "epsilon": 0.05}])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, stochastic=0.1)
        config = {**attack.Config().resolved(), "goal": "untargeted"}
        more = {"stochastic": 0.1, "kind": "gradient", "config": config, "threat": threat}
        arrays = {"loss": ranks(1, 1), "clean_loss": ranks(1, 1)}
        world.cell(ranks(100, 99), seed=seed, attack="mine", epsilon=0.05, arrays=arrays, **more)
    (note,) = (flag for flag in row(world.build()).notes if flag.flag == "attack without expectation")
    assert remedy in note.why
    assert ("expectation" in attack.Config.model_fields) == ("set its expectation" in note.why)
