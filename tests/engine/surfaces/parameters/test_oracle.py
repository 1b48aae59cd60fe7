"""Tests the surface ``parameters``.

One Δ on the embedding tables has a budget per row and affects all users.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from robench.api import EmbeddingAttack, PluginError, Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.surfaces.parameters.oracle import ROWS
from robench.engine.surfaces.parameters.tables import EmbeddingTables
from robench.testing.worlds import ReferencePairwise, crowd, measured_victim, reference_victim
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise

KINDS = ["pairwise", "sequence"]


def arena_of(kind, attack, epsilon):
    (arena,) = reference_victim(kind).surface("parameters").arenas(attack, epsilon, Costs(), Diagnosis())
    return arena


def weights(bench):
    return {n: p.detach().double().numpy() for n, p in bench.model.named_parameters() if n in bench.model.tables}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_relative_budget_is_a_share_of_each_table_s_mean_row_norm_by_hand(kind, norm):
    bench = reference_victim(kind)
    unit = EmbeddingTables(bench.model).unit(norm, "relative").numpy()
    expected = []
    for table in weights(bench).values():
        size = np.linalg.norm(table, axis=1).mean() / (np.sqrt(table.shape[1]) if norm == "linf" else 1)
        expected += [size] * len(table)
    np.testing.assert_allclose(unit, expected, rtol=1e-6)
    assert set(EmbeddingTables(bench.model).unit(norm, "absolute").tolist()) == {1.0}


@pytest.mark.parametrize("kind", KINDS)
def test_fgsm_moves_every_row_with_a_gradient_by_epsilon_and_no_other(kind):
    # APR's ε is absolute: a row with the gradient g moves by ε · g / ‖g‖ (He et al. 2018, eq. 8).
    attack = Fgsm.make(surface="parameters", norm="l2", scale="absolute")
    arena = arena_of(kind, attack, 0.3)
    (proposed,) = arena.proposals(attack, reference_victim(kind).rng)
    lengths = proposed[ROWS].norm(dim=1)
    moved = lengths > 0
    assert moved.float().mean() > 0.5
    torch.testing.assert_close(lengths[moved], torch.full_like(lengths[moved], 0.3), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positives", ["held-out", "known"])
@pytest.mark.parametrize("loss", ["ce", "bpr"])
def test_the_gradient_is_that_of_the_mean_loss_by_finite_differences(kind, positives, loss):
    if (positives, loss) == ("known", "ce"):
        pytest.skip("known items are compared in pairs, whatever the loss is called")
    attack = Pgd.make(surface="parameters", norm="l2", positives=positives, loss=loss)
    oracle = arena_of(kind, attack, 0.1).oracle
    start = oracle.normal(reference_victim(kind).rng.child("start"))
    start = {ROWS: 0.05 * start[ROWS]}
    step = {ROWS: 1e-2 * oracle.normal(reference_victim(kind).rng.child("step"))[ROWS]}
    there, back = ({ROWS: start[ROWS] + sign * step[ROWS]} for sign in (1, -1))
    evaluations = []
    for point in (start, there, back):
        oracle._evaluations = 0  # all three evaluations draw the same pairs
        evaluations.append(oracle.gradient(point, loss) if point is start else oracle.evaluate(point, loss))
    slope = float((evaluations[0].gradient[ROWS] * step[ROWS]).sum())
    assert slope == pytest.approx(float(evaluations[1].loss[0] - evaluations[2].loss[0]) / 2, rel=0.05, abs=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_known_items_are_compared_with_unused_ones_that_are_drawn_anew_at_every_look(kind):
    bench = reference_victim(kind)
    oracle = arena_of(kind, Pgd.make(surface="parameters", positives="known", loss="bpr"), 0.1).oracle
    looks = [oracle.gradient if number % 2 else oracle.evaluate for number in range(40)]
    losses = [float(look(oracle.zero(), "bpr").loss[0]) for look in looks]
    assert len(set(losses)) == len(losses)
    # The average over many evaluations approaches the mean over all unused items.
    scores, known = bench.model.scores(bench.users, bench.history).astype(np.float64), bench.history
    expected = [
        np.logaddexp(0, np.delete(row, known.row(user)) - row[item]).mean()
        for user, row in zip(bench.users, scores, strict=True)
        for item in known.row(user)
    ]
    assert np.mean(losses) == pytest.approx(np.mean(expected), abs=4 * np.std(losses) / len(losses) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_every_row_keeps_its_budget_and_the_record_says_what_was_spent(kind, norm):
    bench = reference_victim(kind)
    measurement = bench.attacked(Pgd.make(surface="parameters", norm=norm, steps=5), 0.3, "")
    assert measurement.achieved["epsilon"] == pytest.approx(0.3, rel=1e-4)
    assert measurement.achieved["overshoot"] <= 1 + 1e-4
    largest = max(
        np.linalg.norm(t, axis=1).mean() / (t.shape[1] ** 0.5 if norm == "linf" else 1) for t in weights(bench).values()
    )
    assert measurement.achieved[f"{norm}_max"] == pytest.approx(0.3 * largest, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_epsilon_zero_is_clean_bit_for_bit(kind):
    bench = reference_victim(kind)
    measurement, clean = bench.attacked(Pgd.make(surface="parameters"), 0.0, ""), bench.clean(None)
    for name in ("ranks", "top", "indptr", "users"):
        np.testing.assert_array_equal(measurement.arrays[name], clean.arrays[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [Pgd, Apgd])
def test_a_gradient_attack_beats_random_tables_with_as_many_looks(kind, make):
    bench = reference_victim(kind)
    settings = {"surface": "parameters", "norm": "l2"}
    attack = bench.attacked(make.make(**settings, steps=10), 0.2, "")
    random = bench.attacked(RandomNoise.make(**settings, draws=14), 0.2, "")
    assert random.achieved["queries"] >= attack.achieved["queries"]
    assert attack.arrays["loss"].mean() > random.arrays["loss"].mean()
    assert attack.arrays["ranks"].mean() > random.arrays["ranks"].mean()


def test_the_tables_that_are_scored_are_the_tables_plus_delta():
    bench = reference_victim("pairwise")
    attack = Fgsm.make(surface="parameters", norm="l2")
    arena = arena_of("pairwise", attack, 0.2)
    delta = arena.ball.project(arena.oracle.normal(bench.rng))
    moved = arena.oracle.tables.plus(delta[ROWS])
    users, items = (moved[name].double() for name in bench.model.tables)
    ((scores,),) = (list(looks) for looks in arena.oracle.host_scores(delta))
    expected = (users[torch.from_numpy(bench.users)] @ items.T).float()
    known = torch.isinf(scores)
    torch.testing.assert_close(scores[~known], expected[~known], rtol=1e-4, atol=1e-5)
    own = next(iter(bench.model.parameters()))
    assert not torch.equal(own, moved[bench.model.tables[0]]), "the fitted tables were changed in place"


class Wide(EmbeddingAttack):
    """An attack that proposes ten times the budget, or a shift of the wrong shape."""

    shape = None

    def perturb(self, oracle, ball, rng):
        draw = ball.ascent(oracle.normal(rng))
        yield {ROWS: draw[ROWS][:2]} if self.shape else {name: 10 * part for name, part in draw.items()}


def test_a_cheat_is_projected_and_told():
    measurement = reference_victim("pairwise").attacked(Wide.make(surface="parameters"), 0.2, "")
    assert measurement.achieved["overshoot"] == pytest.approx(10, rel=1e-3)
    assert measurement.achieved["epsilon"] == pytest.approx(0.2, rel=1e-4)
    wrong = Wide.make(surface="parameters")
    wrong.shape = "short"
    with pytest.raises(PluginError, match="of shape"):
        reference_victim("pairwise").attacked(wrong, 0.2, "")


class Proposed(EmbeddingAttack):
    """An attack that proposes random shifts of the tables, each with the full budget."""

    numbers = range(12)

    def perturb(self, oracle, ball, rng):
        for number in self.numbers:
            yield ball.ascent(oracle.normal(rng.child("table", number)))


def ndcg(bench, numbers, k):
    """Returns the mean NDCG@k under the proposal that the host keeps.

    The attack proposes one random shift for each number in ``numbers``.
    """
    attack = Proposed.make(surface="parameters", norm="l2", k=k)
    attack.numbers = numbers
    ranks = bench.attacked(attack, 0.4, "").arrays["ranks"]
    return np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0).mean()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3, 10])
def test_of_several_tables_the_host_keeps_the_one_that_leaves_the_least_at_k(kind, k):
    """The host keeps the proposal that leaves the lowest NDCG@k.

    Without the cutoff k, moving items from rank 30 to 60 could count more than emptying the top k.
    """
    bench = reference_victim(kind)
    single = [ndcg(bench, [number], k) for number in Proposed.numbers]
    assert len(set(single)) > 1
    assert ndcg(bench, Proposed.numbers, k) == pytest.approx(min(single), abs=1e-12)


class _Masked(torch.autograd.Function):
    """A torch function that returns the scores unchanged and spoils some gradients.

    The gradient of each user that is not ``sighted`` becomes ``instead``, which is 0 or not finite.
    """

    @staticmethod
    def forward(ctx, scores, sighted, instead):
        ctx.save_for_backward(sighted)
        ctx.instead = instead
        return scores.clone()

    @staticmethod
    def backward(ctx, gradient):
        (sighted,) = ctx.saved_tensors
        return torch.where(sighted.unsqueeze(1), gradient, torch.full_like(gradient, ctx.instead)), None, None


def hidden(bench, monkeypatch, users, instead):
    """Replaces the gradients of some users with ``instead``, and returns the victim."""
    inner, blind = type(bench.model).score_from, torch.tensor(sorted(users), dtype=torch.int64)

    def score_from(self, batch, e):
        return _Masked.apply(inner(self, batch, e), ~torch.isin(batch.users, blind), instead)

    monkeypatch.setattr(type(bench.model), "score_from", score_from)
    return bench


@pytest.mark.parametrize("surface", ["parameters", "embedding"])
@pytest.mark.parametrize(("instead", "name"), [(0.0, "zero_gradient_share"), (math.nan, "non_finite_share")])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.45, 1.0])
def test_the_share_of_hidden_gradients_is_that_of_the_users_to_be_broken(monkeypatch, surface, instead, name, share):
    """Each user counts once, although several members compute gradients."""
    bench = reference_victim("pairwise")
    arrays = bench.attacked(Pgd.make(steps=1), 0.1, "").arrays
    hit = arrays["users"][arrays["hit"]].tolist()
    blind = hit[: round(share * len(hit))]
    measurement = hidden(bench, monkeypatch, blind, instead).attacked(Auto.make(surface=surface), 0.3, "hidden")
    assert len(hit) <= 64
    assert measurement.diagnostics["gradients_judged"] == len(hit)
    assert measurement.diagnostics[name] == pytest.approx(len(blind) / len(hit))


class Given(EmbeddingAttack):
    """An attack that proposes given shifts of the tables."""

    proposals = ()

    def perturb(self, oracle, ball, rng):
        yield from ({ROWS: proposed.clone()} for proposed in self.proposals)


def test_what_is_said_to_be_spent_by_two_rows_that_moved_is_so_by_hand():
    bench = reference_victim("pairwise")
    users, items = weights(bench).values()
    delta = torch.zeros(len(users) + len(items), users.shape[1])
    delta[4, :2], delta[len(users) + 7, 3:5] = torch.tensor([0.3, 0.4]), torch.tensor([-1.2, 0.5])
    attack = Given.make(surface="parameters", norm="l2")
    attack.proposals = (delta, -delta)  # Both shifts have the same length, and one of them raises the loss.
    share = 0.5 / np.linalg.norm(users, axis=1).mean(), 1.3 / np.linalg.norm(items, axis=1).mean()
    assert bench.attacked(attack, 2.0, "").achieved == pytest.approx({
        "epsilon": max(share), "epsilon_mean": sum(share) / len(delta), "rows_moved": 2,
        "l2_max": 1.3, "l2_mean": 1.8 / len(delta), "linf_max": 1.2, "linf_mean": 1.6 / len(delta),
        "queries": 2 * len(bench.users), "gradients": 0, "overshoot": max(share) / 2,
    }, rel=1e-5)  # fmt: skip


class Narrow(ReferencePairwise):
    """A model with 3 factors per user and 5 per item.

    Only the first 3 factors of an item count.
    """

    def build(self, data, rng):
        self.user_vectors, self.item_vectors = nn.Embedding(data.n_real_users, 3), nn.Embedding(data.n_items, 5)

    def score_from(self, batch, e):
        return e.inputs["user"] @ e.context["items"][:, :3].T


def test_what_is_proposed_beyond_a_narrow_table_takes_nothing_of_its_budget():
    data, test = crowd()
    model = Narrow()
    model.initialise(data, Rng(0))
    attack = Given.make(surface="parameters", norm="l2", scale="absolute")
    (arena,) = measured_victim(model.eval(), data, test).surface("parameters").arenas(attack, 0.5, Costs(), Diagnosis())
    proposed = torch.full((data.n_real_users + data.n_items, 5), 0.1)
    expected = proposed.clone()
    expected[: data.n_real_users, 3:] = 0.0
    proposed[: data.n_real_users, 3:] = 100.0
    assert torch.equal(arena.within_budget({ROWS: proposed})[ROWS], expected)
    assert arena.costs.overshoot == pytest.approx(0.1 * 5**0.5 / 0.5)
