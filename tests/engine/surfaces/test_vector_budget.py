"""Tests attacks that overwrite the arrays that they get from the host.

Such writes do not change the host's budgets, masks or outcomes.
"""

import numpy as np
import pytest

from robench.api import EmbeddingAttack, HistoryAttack, MinimumNormAttack, TextAttack
from robench.testing.text_world import promoted, text_victim
from robench.testing.worlds import reference_victim


class Widened(EmbeddingAttack):
    """An attack that multiplies the radius of its ball by ten.

    The attack also zeroes two other arrays of the host.
    """

    def perturb(self, oracle, ball, rng):
        ball.radius.mul_(10)
        oracle.to_break.zero_()
        oracle.lengths().zero_()
        yield ball.ascent(oracle.gradient(oracle.zero()).gradient)


class Straight(Widened):
    """An attack that takes the step of ``Widened``, but overwrites nothing."""

    def perturb(self, oracle, ball, rng):
        yield ball.ascent(oracle.gradient(oracle.zero()).gradient)


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
@pytest.mark.parametrize("surface", ["embedding", "parameters"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_radius_that_the_attack_widens_is_not_the_host_s(kind, surface, norm):
    bench = reference_victim(kind)
    epsilon = 0.05
    settings = {"surface": surface, "norm": norm}
    cheat = bench.attacked(Widened.make(**settings), epsilon, "cheat")
    fair = bench.attacked(Straight.make(**settings), epsilon, "fair")
    assert cheat.achieved["epsilon"] <= epsilon * (1 + 1e-4)
    assert cheat.achieved["overshoot"] == pytest.approx(10, rel=1e-3)
    if surface == "embedding":
        np.testing.assert_array_equal(cheat.arrays["hit"], fair.arrays["hit"])
    if norm == "l2":  # projecting the longer L2 step gives the same point
        np.testing.assert_array_equal(cheat.arrays["ranks"], fair.arrays["ranks"])


class More(HistoryAttack):
    """An attack that raises its budget to five edits and deletes five items per user.

    The attack also overwrites the arrays of users and rows.
    """

    def rewrite(self, oracle, rng):
        oracle.budget().fill_(5)
        oracle.to_break.zero_()
        oracle.users.zero_()
        rows = oracle.rows()
        genuine = rows.clone()
        rows.fill_(-1)
        yield genuine[:, 5:]


def test_a_number_of_edits_that_the_attack_raises_is_not_the_host_s():
    bench = reference_victim("sequence")
    measurement = bench.attacked(More.make(), 1, "cheat")
    assert measurement.achieved["overshoot"] > 1
    assert measurement.arrays["edits"].max() <= 1
    np.testing.assert_array_equal(measurement.arrays["hit"], bench.attacked(More.make(), 0, "none").arrays["hit"])


class Longer(TextAttack):
    """An attack that overwrites its inputs and proposes titles beyond the budget."""

    def rewrite(self, oracle, rng):
        titles, limit = oracle.titles(), oracle.budget()
        limit[:] = [99] * len(limit)
        oracle.items[:] = 0
        oracle.counts[:] = 0
        titles[:] = ["gone"] * len(titles)
        yield [f"{title} and a good many words more" for title in oracle.titles()]


def test_titles_and_their_budgets_that_the_attack_overwrites_are_not_the_host_s():
    measurement = text_victim().attacked(Longer.make(), 0.34, "cheat", promoted())
    assert measurement.achieved["overshoot"] > 1
    assert not measurement.titles
    np.testing.assert_array_equal(
        measurement.arrays["target_ranks"], text_victim().clean(promoted()).arrays["target_ranks"]
    )
    assert text_victim().history.counts().any()


class Far(MinimumNormAttack):
    """An attack that proposes one long δ per user, along the gradient."""

    def minimise(self, oracle, rng):
        slope = oracle.gradient(oracle.zero()).gradient
        yield {
            name: 5 * part / part.flatten(1).norm(dim=1).clamp_min(1e-9)[:, None, None] for name, part in slope.items()
        }


def test_a_shortest_delta_beyond_the_budget_is_not_used():
    bench = reference_victim("sequence")
    radius = bench.attacked(Far.make(), 0, "far").arrays["radius"]
    broken = np.isfinite(radius) & (radius > 0)
    assert broken.any()
    assert not bench.attacked(Far.make(), 0.99 * radius[broken].min(), "far").arrays["l2"].any()
    assert bench.attacked(Far.make(), 1.01 * radius[broken].max(), "far").arrays["l2"][broken].all()
