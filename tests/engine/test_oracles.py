"""Exact radii on factor models: for scores linear in the user vector, k = 1 has a closed form."""

import numpy as np
import pytest
import torch

from robench.api.data import Interactions
from robench.api.delta import Ball
from robench.api.rng import Rng
from robench.conformance.worlds import ReferencePairwise, bench_of, crowd
from robench_plugins.attacks.cw import CarliniWagner
from robench_plugins.attacks.pgd import Pgd

ROUNDING = 1e-6  # of the model's float32 scores, in distance


def linear_bench(seed, n_users=30, n_items=12, dim=16):
    """Random factors in which every user's held-out item is the best unmasked one."""
    data, _ = crowd(n_users=n_users, n_items=n_items, length=4, seed=seed)
    model = ReferencePairwise()
    model.initialise(data, Rng(seed))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        model.user_vectors.weight.copy_(torch.randn(n_users, 16, generator=generator))
        model.item_vectors.weight.copy_(torch.randn(n_items, 16, generator=generator))
    model.eval()
    scores = (model.user_vectors.weight @ model.item_vectors.weight.T).detach().double().numpy()
    best = []
    for user in range(n_users):
        known = np.concatenate([data.train.row(user), data.validation.row(user)])
        scores[user, known] = -np.inf
        best.append([int(scores[user].argmax())])
    return bench_of(model, data, Interactions.from_rows(best, n_items)), scores, np.array(best)[:, 0]


def margin_ratios(bench, scores, best, norm):
    """(s_y − s_j) / ‖v_j − v_y‖* for every unmasked rival j, sorted: float64 [U][rivals]."""
    items = bench.model.item_vectors.weight.detach().double().numpy()
    found = []
    for user, y in enumerate(best):
        rivals = [j for j in range(len(items)) if j != y and np.isfinite(scores[user, j])]
        gap = np.array([float(scores[user, y]) - float(scores[user, j]) for j in rivals])
        dual = np.array([np.linalg.norm(items[j] - items[y], 2 if norm == "l2" else 1) for j in rivals])
        found.append(np.sort(gap / dual))
    return found


def in_units(bench, norm):
    return bench.rms() * (4.0 if norm == "l2" else 1.0)  # √16 entries


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_carlini_wagner_finds_the_exact_radius(seed):
    bench, scores, best = linear_bench(seed)
    exact = np.array([r[0] for r in margin_ratios(bench, scores, best, "l2")])
    attack = CarliniWagner.make(k=1, steps=60, search=6, restarts=9, refine=12)
    radius = bench.attacked(attack, 10.0, "cw").arrays["radius"] * in_units(bench, "l2")
    assert (radius >= exact * (1 - 1e-4) - ROUNDING).all(), "shorter than the exact radius"
    assert (radius <= exact * 1.01 + ROUNDING).all(), (radius / exact).max()


def broken(bench, attack, radius):
    """Whether each user is broken by a candidate within the user's own radius: bool [U]."""
    (oracle,) = bench.oracles(attack.config.k)
    ball = Ball(attack.config.norm, torch.from_numpy(radius).float())
    found = torch.zeros(len(radius), dtype=torch.bool)
    for candidate in attack.perturb(oracle, ball, Rng(0)):
        found |= oracle.evaluate(ball.project(candidate)).broken
    return found.numpy()


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pgd_breaks_every_user_at_the_exact_radius_and_none_below(norm, seed):
    bench, scores, best = linear_bench(seed)
    exact = np.array([r[0] for r in margin_ratios(bench, scores, best, norm)])
    attack = Pgd.make(norm=norm, k=1, steps=60, restarts=9, loss="margin")
    below, above = np.maximum(exact * 0.999 - ROUNDING, 0), exact * 1.01 + ROUNDING
    assert not broken(bench, attack, below).any(), "broken below the exact radius"
    assert broken(bench, attack, above).all(), "a user stands at 1.01 of the exact radius"


def test_no_attack_beats_the_certified_bound_at_k_ten():
    bench, scores, best = linear_bench(5, n_items=24)
    ratios = margin_ratios(bench, scores, best, "l2")
    bound = np.array([r[9] if len(r) > 9 else np.inf for r in ratios])
    attack = CarliniWagner.make(k=10, steps=60, search=6, restarts=2)
    radius = bench.attacked(attack, 50.0, "cw10").arrays["radius"] * in_units(bench, "l2")
    assert np.isfinite(radius).mean() > 0.5, "the attack found nothing to compare"
    assert (radius >= bound * (1 - 1e-4)).all()
    for norm in ("l2", "linf"):
        low = np.array([r[9] if len(r) > 9 else 0.0 for r in margin_ratios(bench, scores, best, norm)])
        attack = Pgd.make(norm=norm, k=10, steps=60, restarts=3, loss="margin")
        assert not broken(bench, attack, np.maximum(low * 0.999 - ROUNDING, 0)).any()
