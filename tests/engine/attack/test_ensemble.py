"""Tests how ensembles stop early, and how they count first breaks and costs.

For each user, the host keeps the worst outcome.
"""

import numpy as np
import pytest
import torch

from robench.api import EmbeddingAttack, EmbeddingConfig, Ensemble, Member, PluginError
from robench.engine.attack import victim
from robench.engine.measure import MeasuredVictim
from robench.testing.worlds import crowd, fitted, measured_victim, reference_victim
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.models.item_knn import ItemKnn

KINDS = ["pairwise", "sequence"]


class Idle(EmbeddingAttack):
    """An attack that evaluates nothing and proposes no change."""

    def perturb(self, oracle, ball, rng):
        yield oracle.zero()


class Pair(Ensemble):
    """An ensemble with members that a test sets."""

    Config = EmbeddingConfig
    surface = "embedding"
    given = ()

    def threat(self):
        c = self.config
        return Fgsm.make(surface=c.surface, norm=c.norm, k=c.k).threat()

    def members(self, *, gradients, stochastic):
        return self.given


def measured(kind, members, epsilon=0.3, norm="l2", surface="embedding"):
    attack = Pair.make(norm=norm, surface=surface)
    attack.given = tuple(members)
    return reference_victim(kind).attacked(attack, epsilon, "")


@pytest.mark.parametrize("kind", KINDS)
def test_per_user_the_worst_over_the_members(kind):
    one, two = Fgsm.make(norm="l2", loss="margin"), Pgd.make(norm="l2", steps=5)
    both = measured(kind, [Member("one", one, everyone=True), Member("two", two, everyone=True)]).arrays
    bench = reference_victim(kind)
    alone = [bench.attacked(attack, 0.3, "").arrays for attack in (one, two)]
    hit = both["hit"]
    np.testing.assert_array_equal(both["ranks"][hit], np.maximum(*(a["ranks"] for a in alone))[hit])
    np.testing.assert_array_equal(both["ranks"][~hit], bench.clean(None).arrays["ranks"][~hit])


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_sees_only_who_still_stands_unless_it_is_to_see_everyone(kind):
    strong = Pgd.make(norm="l2", steps=5)
    measurement = measured(kind, [Member("a", strong), Member("b", strong), Member("c", strong, everyone=True)])
    a, b, c = measurement.members
    to_break = int(measurement.arrays["hit"].sum())
    broken = int((measurement.arrays["ranks"][measurement.arrays["hit"]] > 10).sum())
    assert 0 < broken < to_break, "a world in which the early stop shows"
    assert (a["users"], b["users"], c["users"]) == (to_break, to_break - broken, to_break)
    assert (a["first_breaks"], b["first_breaks"], c["first_breaks"]) == (broken, 0, 0)
    assert b["gradients"] < a["gradients"] == c["gradients"]
    assert measurement.achieved["gradients"] == sum(row["gradients"] for row in measurement.members)
    assert measurement.achieved["queries"] == sum(row["queries"] for row in measurement.members)


def test_who_broke_whom_is_stored_per_user():
    measurement = measured("pairwise", [Member("idle", Idle.make()), Member("pgd", Pgd.make(norm="l2", steps=5))])
    arrays = measurement.arrays
    broken = arrays["hit"] & (arrays["ranks"] > 10)
    np.testing.assert_array_equal(arrays["first"][broken], 1)
    np.testing.assert_array_equal(arrays["first"][~broken], -1)
    np.testing.assert_array_equal(
        arrays["member_broke"][arrays["hit"]], np.stack([0 * broken, broken], 1)[arrays["hit"]]
    )
    np.testing.assert_array_equal(arrays["member_broke"][~arrays["hit"]], -1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_auto_breaks_whoever_any_of_its_attacks_breaks_and_stays_in_budget(kind, norm):
    bench = reference_victim(kind)
    auto = bench.attacked(Auto.make(norm=norm), 0.15, "")
    assert auto.achieved["epsilon"] <= 0.15 * (1 + 1e-5)
    assert auto.achieved["overshoot"] <= 1 + 1e-4
    hit = auto.arrays["hit"]
    for attack in (Fgsm.make(norm=norm), Pgd.make(norm=norm, steps=40), RandomNoise.make(norm=norm, draws=40)):
        other = bench.attacked(attack, 0.15, "").arrays
        missed = hit & (other["ranks"] > 10) & (auto.arrays["ranks"] <= 10)
        assert not missed.any()


@pytest.fixture(scope="module")
def on_tables():
    """Returns the measurement of ``auto`` on the tables of a pairwise model."""
    return reference_victim("pairwise").attacked(Auto.make(surface="parameters"), 0.2, "")


def test_on_tables_auto_is_its_worst_member(on_tables):
    bench, measurement = reference_victim("pairwise"), on_tables
    ranks = measurement.arrays["ranks"]
    ndcg = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)
    assert max(row["damage"] for row in measurement.members) == pytest.approx(-ndcg.mean(), rel=1e-6)
    assert all(row["users"] == len(bench.users) for row in measurement.members)
    damage = measurement.arrays["member_damage"]
    assert damage.shape == (len(bench.users), len(measurement.members))
    np.testing.assert_allclose(damage.mean(0), [row["damage"] for row in measurement.members])
    worst = damage[:, damage.mean(0).argmax()]
    np.testing.assert_allclose(-worst[ndcg > 0], ndcg[ndcg > 0])


def test_on_tables_what_members_did_is_of_all_chunks(monkeypatch, on_tables):
    one, whole = reference_victim("pairwise"), on_tables.arrays["member_damage"]
    monkeypatch.setattr(victim, "chunk_size", lambda n_items, device: 7)
    bench = MeasuredVictim(one.model, one.history, one.held, one.users, 0)
    assert len(list(bench.chunks())) > 2
    damage = bench.attacked(Auto.make(surface="parameters"), 0.2, "").arrays["member_damage"]
    np.testing.assert_allclose(damage, whole, atol=1e-6)


@pytest.mark.parametrize(("kind", "named"), [("sequence", True), ("knn", False)])
def test_on_histories_gradients_are_used_where_there_are_any(kind, named):
    if kind == "sequence":
        bench = reference_victim("sequence")
    else:
        data, test = crowd()
        bench = measured_victim(fitted(ItemKnn(), data)[0], data, test)
    measurement = bench.attacked(Auto.make(surface="history", white_box=True), 1.0, "")
    assert ("greedy-gradient" in [row["name"] for row in measurement.members]) == named
    everyone = [row["users"] for row in measurement.members if row["everyone"]]
    assert set(everyone) == {int(measurement.arrays["hit"].sum())}


def test_a_larger_budget_breaks_no_fewer():
    broken = []
    for epsilon in (0.02, 0.1, 0.4):
        arrays = reference_victim("pairwise").attacked(Auto.make(), epsilon, "").arrays
        broken.append(int((arrays["hit"] & (arrays["ranks"] > 10)).sum()))
    assert broken == sorted(broken)
    assert broken[0] < broken[-1]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"surface": "history", "norm": "l2"}, "norm can only be edits"),
        ({"surface": "embedding", "norm": "edits"}, "l2 or linf"),
        ({"version": 1}, "auto on the surface embedding is version 3, not 1"),
        ({"surface": "history", "version": 1}, "auto on the surface history is version 2, not 1"),
        ({"steps": 3}, "steps"),
        ({"surface": ["embedding"]}, "surface"),
        ({"surface": {"a": 1}}, "surface"),
        ({"surface": "text", "norm": ["words"]}, "norm"),
    ],
)
def test_nothing_of_auto_can_be_tuned(given, problem):
    with pytest.raises(ValueError, match=problem):
        Auto.make(**given)


def test_the_version_is_in_the_settings_that_every_record_holds():
    """The ensemble ``auto`` has one version per surface.

    A new list of members on one surface therefore does not affect the other surfaces.
    """
    for surface, version in {"embedding": 3, "parameters": 3, "history": 2}.items():
        assert Auto.make(surface=surface).config.resolved()["version"] == version


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        (None, r"Pair.members\(\) gave NoneType, not a list of Member"),
        ([], r"Pair.members\(\) gave an empty list, not a list of Member"),
        ([Fgsm.make(norm="l2")], r"Pair.members\(\) gave list, not a list of Member"),
        ([Member("a", Fgsm.make(norm="l2")), Member("a", Pgd.make(norm="l2"))], "two members called 'a'"),
        ([Member("a", Fgsm.make(norm="linf"))], "'a' has a different threat model than the ensemble"),
    ],
)
def test_an_ensemble_of_no_members_of_its_threat_model_is_told_by_its_name(listed, problem):
    ensemble = Pair.make(norm="l2")
    ensemble.given = listed
    with pytest.raises(PluginError, match=problem):
        reference_victim("pairwise").attacked(ensemble, 0.1, "")


class Shrunk(EmbeddingAttack):
    """An attack that multiplies the user vectors by ``factor``.

    The ranking stays the same. With a factor below 1, the scores are closer together.
    """

    factor = 1.0

    def perturb(self, oracle, ball, rng):
        vectors = reference_victim("pairwise").model.user_vectors.weight.detach()
        yield {"user": (self.factor - 1) * vectors[oracle.users]}


def test_of_two_members_that_leave_the_same_ranks_the_one_of_the_higher_loss_is_kept():
    members = [Member(f"times {factor}", Shrunk.make(norm="l2"), everyone=True) for factor in (0.75, 0.5)]
    members[0].attack.factor, members[1].attack.factor = 0.75, 0.5
    arrays = measured("pairwise", members, epsilon=20.0).arrays
    np.testing.assert_array_equal(arrays["ranks"], reference_victim("pairwise").clean(None).arrays["ranks"])
    (oracle,) = reference_victim("pairwise").surface("embedding").oracles(10)
    losses = []
    for factor in (1.0, 0.75, 0.5):
        attack = Shrunk.make()
        attack.factor = factor
        losses.append(oracle.judge(*attack.perturb(oracle, None, None)).loss.numpy())
    raised = arrays["hit"] & (losses[0] < losses[1]) & (losses[1] < losses[2])
    assert raised.sum() > 5
    np.testing.assert_allclose(arrays["loss"][raised], losses[2][raised], rtol=1e-5)


class Noted(EmbeddingAttack):
    """An attack that records the random noise that it proposes."""

    notes = ()

    def perturb(self, oracle, ball, rng):
        self.notes.append(oracle.normal(rng.child("a")))
        yield self.notes[-1]


@pytest.mark.parametrize("surface", ["embedding", "parameters"])
def test_two_members_of_one_class_draw_from_streams_of_their_own(surface, monkeypatch):
    members = [Member(name, Noted.make(surface=surface, norm="l2"), everyone=True) for name in ("one", "two")]
    notes = []
    monkeypatch.setattr(Noted, "notes", notes)
    measured("pairwise", members, surface=surface)
    one, two = (torch.cat([part.flatten() for part in noise.values()]) for noise in notes)
    assert len(one) == len(two) > 100
    assert not torch.isclose(one, two).any()


class Steps(EmbeddingAttack):
    """An attack that takes a random step with a length of ``radii`` times the radius."""

    radii = 1

    def perturb(self, oracle, ball, rng):
        yield {name: self.radii * part for name, part in ball.ascent(oracle.normal(rng)).items()}


@pytest.mark.parametrize("surface", ["embedding", "parameters"])
def test_a_cheat_is_told_though_an_honest_member_follows_it(surface):
    cheat, honest = (Steps.make(surface=surface, norm="l2") for _ in range(2))
    cheat.radii = 10
    members = [Member("cheat", cheat, everyone=True), Member("honest", honest, everyone=True)]
    assert measured("pairwise", members, surface=surface).achieved["overshoot"] == pytest.approx(10, rel=1e-4)
