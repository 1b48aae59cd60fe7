import pytest
import torch

from robench.api import Rng
from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Evaluation
from robench.testing import EmbeddingAttackTests
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.apgd import Apgd, checkpoints
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.attacks.embedding.random_search import RandomSearch, changed_share


class TestApgd(EmbeddingAttackTests):
    attack = Apgd
    settings = {"steps": 15}


class TestApgdRestarts(EmbeddingAttackTests):
    attack = Apgd
    settings = {"steps": 8, "restarts": 2, "loss": "margin"}


class TestRandomSearch(EmbeddingAttackTests):
    attack = RandomSearch
    settings = {"queries": 30}


def test_the_checkpoints_are_those_of_the_paper():
    # p = 0, .22, .41, .57, .70, .80, .87, .93, .99 (Croce & Hein 2020, section 3.2)
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == [1]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("victim", ["pairwise", "sequence"])
def test_apgd_reaches_at_least_the_loss_of_pgd_with_as_many_gradients(victim, norm):
    # PGD computes 20 gradients in each of 2 restarts. APGD computes 40 gradients in 39 steps.
    apgd = reference_victim(victim).attacked(Apgd.make(norm=norm, steps=39), 0.3, "apgd")
    pgd = reference_victim(victim).attacked(Pgd.make(norm=norm, steps=20, restarts=2), 0.3, "pgd")
    assert apgd.achieved["gradients"] <= pgd.achieved["gradients"]
    assert apgd.arrays["loss"].mean() >= pgd.arrays["loss"].mean() - 1e-3


class _Bowl:
    """An oracle with the loss −Σ (δ − centre)² for every user.

    The oracle records the points that it evaluates.
    """

    def __init__(self, users=3, dim=4, centre=0.25):
        self.shape, self.centre, self.points = (users, dim), centre, []

    def zero(self):
        return {"x": torch.zeros(self.shape)}

    def gradient(self, delta, loss="ce", rival=None):
        self.points.append(delta["x"].clone())
        gap = delta["x"] - self.centre
        broken = torch.zeros(len(gap), dtype=torch.bool)
        return Evaluation(-gap.square().sum(1), broken, {"x": -2 * gap})


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_apgd_halves_its_step_until_it_meets_a_maximum_inside_the_ball(norm):
    oracle = _Bowl()
    ball = Ball(norm, torch.full((3,), 1.0))
    best, _ = Apgd.make(norm=norm, steps=100).perturb(oracle, ball, Rng(0))
    # Steps of 2ε would jump over the maximum forever.
    assert float((best["x"] - 0.25).abs().max()) < 0.02
    assert float((oracle.points[1] - 0.25).abs().max()) > 0.2
    sizes = torch.stack(oracle.points).abs().amax(2) if norm == "linf" else torch.stack(oracle.points).norm(dim=2)
    assert float(sizes.max()) <= 1 + 1e-6


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("victim", ["pairwise", "sequence"])
def test_random_search_beats_independent_draws_with_as_many_queries_and_asks_for_no_gradient(victim, norm):
    search = reference_victim(victim).attacked(RandomSearch.make(norm=norm, queries=60, loss="ce"), 0.3, "search")
    noise = reference_victim(victim).attacked(RandomNoise.make(norm=norm, draws=61), 0.3, "noise")
    assert search.achieved["gradients"] == 0
    assert search.achieved["queries"] <= noise.achieved["queries"]
    assert search.arrays["loss"].mean() > noise.arrays["loss"].mean()


def test_the_share_of_changed_entries_halves_as_in_square():
    shares = [changed_share(query, 10_000, 0.8) for query in (1, 11, 51, 201, 501, 9999)]
    assert shares == pytest.approx([0.8, 0.4, 0.2, 0.1, 0.05, 0.8 / 512])


class _Flat:
    """An oracle with a constant loss, so that no proposal is accepted.

    The oracle records the points that it evaluates.
    """

    def __init__(self, users, entries):
        self.shape, self.points = (users, entries), []

    def lengths(self):
        return torch.full((self.shape[0],), float(self.shape[1]))

    def normal(self, rng):
        return {"x": torch.randn(self.shape, generator=rng.torch())}

    def uniform(self, rng):
        return {"x": 2 * torch.rand(self.shape, generator=rng.torch()) - 1}

    def evaluate(self, delta, loss="ce"):
        self.points.append(delta["x"].double())
        return Evaluation(torch.zeros(self.shape[0]), torch.zeros(self.shape[0], dtype=torch.bool))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_random_search_changes_ever_fewer_entries_but_about_two_at_least(norm):
    users, entries = 3, 500
    oracle = _Flat(users, entries)
    list(RandomSearch.make(norm=norm, queries=200, share=0.8).perturb(oracle, Ball(norm, torch.ones(users)), Rng(0)))
    first, *proposals = oracle.points
    ratio = torch.stack(proposals) / first
    # In L2, untouched entries change by a common factor. This factor is the median, as most entries are untouched.
    changed = (ratio / ratio.median(2, keepdim=True).values - 1).abs() > 1e-4
    # Square Attack halves the share after 10, 50, 200, ... of 10,000 queries.
    # For 200 queries, this is after .2, 1, 4, 10, 20, 40, 80, 120 and 160.
    ends = [1, 4, 10, 20, 40, 80, 120, 160, 199]
    for halvings, (start, end) in enumerate(zip([0, *ends], ends, strict=False), 1):
        part, share = changed[start:end].double(), max(0.8 / 2**halvings, 2 / entries)
        assert float(part.mean()) == pytest.approx(share, abs=4 * (share / part.numel()) ** 0.5), halvings


def test_random_search_in_l2_evaluates_points_on_the_surface_of_the_ball_only():
    oracle = _Flat(3, 20)
    list(RandomSearch.make(norm="l2", queries=30).perturb(oracle, Ball("l2", torch.ones(3)), Rng(0)))
    norms = torch.stack(oracle.points).norm(dim=2)
    torch.testing.assert_close(norms, torch.ones_like(norms))
