"""Tests that the host takes sixteen scorings of a victim with random scores."""

import copy

import numpy as np
import pytest
import torch

from robench.api import EmbeddingConfig, Ensemble, Member
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import HOST_DRAWS, Draws
from robench.engine.surfaces.parameters.oracle import ROWS
from robench.testing.worlds import ReferencePairwise, crowd, fitted, measured_victim, reference_victim
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd


class Noisy(ReferencePairwise):
    """A model that adds noise to the scores at test time.

    The standard deviation of the noise is 0.3 times that of the scores. ``looks`` counts the scorings.
    """

    looks = 0

    def score_from(self, batch, e):
        scores = super().score_from(batch, e)
        type(self).looks += 1
        return scores if self.training else scores + 0.3 * scores.detach().std() * torch.randn_like(scores)


def ranks_by_hand(bench, scores):
    """Returns the rank of each held-out item, counted item by item.

    The rank is the number of items that are new to the user and have at least the score of the held-out item. The
    held-out item itself counts.
    """
    return np.array([
        sum(score >= row[item] for i, score in enumerate(row) if i not in set(bench.history.row(user)))
        for user, row in zip(bench.users, np.asarray(scores), strict=True)
        for item in bench.held.row(user)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def noisy():
    data, test = crowd()
    model, _ = fitted(Noisy.make(epochs=10), data)
    return measured_victim(model, data, test)


def test_the_host_takes_sixteen_draws_and_one_of_a_victim_that_draws_nothing(noisy):
    assert HOST_DRAWS >= 16
    noisy.draws()
    before = Noisy.looks
    noisy.clean(None)
    assert Noisy.looks - before == HOST_DRAWS * len(noisy.chunks())
    assert len(list(reference_victim("pairwise").draws().host())) == 1


def test_the_draws_that_are_stored_are_not_those_that_chose_the_candidate(noisy):
    (oracle,) = noisy.surface("embedding").oracles(10)
    chose = torch.stack(list(oracle.host_scores(oracle.zero())))
    stored = torch.stack(list(oracle.host_scores(oracle.zero(), last=True)))
    free = torch.isfinite(chose)
    assert torch.isclose(chose[free], stored[free]).float().mean() < 0.01
    again = torch.stack(list(oracle.host_scores(oracle.zero())))
    assert torch.equal(chose, again), "the host's draws are the same for every candidate"


def test_an_attack_never_sees_a_draw_of_the_host_s(noisy):
    (oracle,) = noisy.surface("embedding").oracles(10)
    hosts = torch.stack([*oracle.host_scores(oracle.zero()), *oracle.host_scores(oracle.zero(), last=True)])
    draws = []
    model_scores = oracle.scores
    oracle.scores = lambda delta: draws.append(model_scores(delta)) or draws[-1]
    for _ in range(3):
        oracle.gradient(oracle.zero())
        oracle.evaluate(oracle.zero())
    assert len(draws) == 6
    finite = torch.isfinite(hosts[0])
    for scores in draws:
        assert all(not torch.equal(scores.detach()[finite], look[finite]) for look in hosts)


def test_a_gradient_with_expectation_is_the_mean_over_its_draws_and_every_draw_is_counted(noisy):
    (one,) = noisy.surface("embedding").oracles(10, expectation=4)
    gradient = one.gradient(one.zero()).gradient["user"]
    assert one.costs.gradients == 4 * len(one.users)
    (other,) = noisy.surface("embedding").oracles(10, expectation=1)
    single = [other.gradient(other.zero()).gradient["user"] for _ in range(4)]
    torch.testing.assert_close(gradient, torch.stack(single).mean(0))
    assert not torch.equal(single[0], single[1])


def test_the_stored_rank_is_a_median_of_the_draws(noisy):
    arrays = noisy.clean(None).arrays
    (oracle,) = noisy.surface("embedding").oracles(10)
    draws = np.stack(
        [oracle.goal.ranks(scores)[:, 0].numpy() for scores in oracle.host_scores(oracle.zero(), last=True)]
    )
    np.testing.assert_array_equal(arrays["ranks"], np.sort(draws, 0)[HOST_DRAWS // 2])
    assert (draws.min(0) < draws.max(0)).any()


def test_a_user_is_broken_where_at_least_half_of_the_draws_say_so(noisy):
    (oracle,) = noisy.surface("embedding").oracles(10, expectation=4)
    host = list(oracle.host_scores(oracle.zero()))
    attack_draws, scores = [], oracle.scores
    oracle.scores = lambda delta: attack_draws.append(scores(delta).detach()) or attack_draws[-1]
    evaluated, judged, halves = oracle.evaluate(oracle.zero()).broken, oracle.judge(oracle.zero()).broken, 0
    for draws, broken in ((attack_draws[:4], evaluated), (host, judged)):
        share = np.mean([ranks_by_hand(noisy, look) > 10 for look in draws], axis=0)
        assert ((share > 0) & (share < 0.5)).any()
        assert ((share >= 0.5) & (share < 1)).any()
        np.testing.assert_array_equal(broken.numpy(), share >= 0.5)
        halves += int((share == 0.5).sum())
    assert halves


def test_what_moved_tables_do_is_stored_from_draws_that_chose_nothing(noisy):
    (arena,) = noisy.surface("parameters").arenas(Pgd.make(surface="parameters", norm="l2"), 0.3, Costs(), Diagnosis())
    delta = arena.ball.project(arena.oracle.normal(noisy.rng))
    model = copy.deepcopy(noisy.model)
    with torch.no_grad():
        model.user_vectors.weight += delta[ROWS][: len(model.user_vectors.weight)]
        model.item_vectors.weight += delta[ROWS][len(model.user_vectors.weight) :]
    median = {}
    for last in (True, False):
        ranks = []
        for context in noisy.draws().host(last=last):
            with context:
                ranks.append(ranks_by_hand(noisy, model.scores(noisy.users, noisy.history)))
        median[last] = np.sort(ranks, 0)[HOST_DRAWS // 2]
    assert (median[True] != median[False]).any()
    np.testing.assert_array_equal(arena.stored(delta)["ranks"], median[True])


class Pair(Ensemble):
    """An ensemble of two cheap attacks."""

    Config = EmbeddingConfig
    surface = "embedding"

    def threat(self):
        return Fgsm.make().threat()

    def members(self, *, gradients, stochastic):
        return [Member("one", Fgsm.make(), everyone=True), Member("two", Pgd.make(steps=2))]


def test_epsilon_zero_is_clean_bit_for_bit(noisy):
    clean = noisy.clean(None).arrays
    for attack in (Pgd.make(steps=2), Pair.make()):
        arrays = noisy.attacked(attack, 0.0, "").arrays
        np.testing.assert_array_equal(arrays["ranks"], clean["ranks"])
        np.testing.assert_array_equal(arrays["top"], clean["top"])


def test_two_runs_give_the_same_numbers(noisy):
    one, two = (noisy.attacked(Pgd.make(steps=3, expectation=2), 0.2, "").arrays for _ in range(2))
    for name, part in one.items():
        np.testing.assert_array_equal(part, two[name])


def test_auto_takes_expectations_of_such_a_victim_and_leaves_nobody(noisy):
    measurement = noisy.attacked(Auto.make(), 0.2, "")
    members = {row["name"]: row for row in measurement.members}
    to_break = int(measurement.arrays["hit"].sum())
    assert all(row["users"] == to_break for row in members.values())
    assert members["pgd-10"]["gradients"] == 8 * 10 * to_break
    calm = Draws(reference_victim("pairwise").rng, reference_victim("pairwise").rng, stochastic=False, expectation=8)
    assert len(list(calm.attack())) == 1
