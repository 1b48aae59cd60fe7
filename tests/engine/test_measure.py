"""Tests measurements: random or invalid scores, radii, and budgets.

Budgets are compared with values that are computed by hand.
"""

import numpy as np
import pytest
import torch

from robench.api import PluginError
from robench.api.surfaces import SURFACES
from robench.engine.attack.surface import VictimSurface
from robench.testing.worlds import ReferencePairwise, checkerboard, crowd, fitted, measured_victim, reference_victim
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.models.popularity import Popularity


class Noisy(ReferencePairwise):
    """A model that adds new noise to its scores in every call at test time."""

    def score_from(self, batch, e):
        scores = super().score_from(batch, e)
        return scores if self.training else scores + 0.1 * torch.randn_like(scores)


def test_a_victim_that_draws_at_test_time_is_diagnosed():
    data, test = crowd()
    model, _ = fitted(Noisy.make(epochs=2), data)
    assert measured_victim(model, data, test).clean(None).diagnostics["stochastic"] > 1e-2
    assert reference_victim("sequence").clean(None).diagnostics["stochastic"] == 0


class Narrow(Popularity):
    """A model that returns no score for the first item of the catalogue."""

    def scores(self, users, history):
        return super().scores(users, history)[:, 1:]


def test_scores_that_are_not_of_the_whole_catalogue_are_refused_in_words():
    data, _ = crowd()
    with pytest.raises(PluginError, match=r"scores have shape \(60, 39\), not \(60, 40\)"):
        fitted(Narrow(), data)
    data, test = checkerboard()  # no user has a validation item
    model, _ = fitted(Narrow(), data)
    with pytest.raises(PluginError, match=r"scores have shape \(\d+, 23\), not \(\d+, 24\)"):
        measured_victim(model, data, test).clean(None)


@pytest.mark.parametrize(
    ("as_given", "told"),
    [(np.int64, "an array of int64"), (str, "an array of <U"), (list, "a list"), (lambda scores: None, "a NoneType")],
)
def test_scores_that_are_no_array_of_real_numbers_are_refused_in_words(as_given, told):
    class Odd(Popularity):
        def scores(self, users, history):
            scores = super().scores(users, history)
            return scores.astype(as_given) if as_given in (np.int64, str) else as_given(scores)

    with pytest.raises(PluginError, match=f"scores are {told}.*, not a numpy array of float32"):
        fitted(Odd(), crowd()[0])


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
def test_who_is_not_hit_has_radius_zero(kind):
    arrays = reference_victim(kind).attacked(CarliniWagner.make(steps=10, search=3), 0.1, "radii").arrays
    assert not arrays["hit"].all()
    assert (arrays["radius"][~arrays["hit"]] == 0).all()
    assert (arrays["radius"][arrays["hit"]] > 0).all()


def inputs_by_hand(bench):
    """Returns the embedded inputs of every user: a list of float64 [n_valid, d].

    The inputs are read from the tables of the model.
    """
    tables = {name: part.detach().double().numpy() for name, part in bench.model.named_parameters()}
    if "user_vectors.weight" in tables:
        return [tables["user_vectors.weight"][user : user + 1] for user in bench.users]
    last = bench.model.config.max_length
    return [tables["item_table.weight"][bench.history.row(user)[-last:]] for user in bench.users]


@pytest.mark.parametrize("kind", ["pairwise", "sequence", "ragged"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_budget_is_of_the_valid_entries_of_all_users_by_hand(kind, norm):
    bench = reference_victim(kind)
    rows = inputs_by_hand(bench)
    assert (len({len(row) for row in rows}) > 1) == (kind == "ragged")
    rms = np.sqrt((np.concatenate(rows) ** 2).mean())
    arrays = bench.attacked(Fgsm.make(norm=norm), 0.05, f"hand-{norm}").arrays
    expected = 0.05 * rms * np.array([1.0 if norm == "linf" else np.sqrt(row.size) for row in rows])
    # The host keeps δ = 0 for users that the step does not help. For all other users, the step spends the whole budget.
    moved = arrays[norm] > 0
    assert moved.mean() > 0.8
    np.testing.assert_allclose(arrays[norm][moved], expected[moved], rtol=1e-5)
    np.testing.assert_allclose(arrays["spent"][moved], 0.05, rtol=1e-5)


@pytest.mark.parametrize("surface", [name for name, rules in SURFACES.items() if rules.measured_by])
def test_the_row_of_a_surface_names_the_class_that_measures_it(surface):
    victim = reference_victim("sequence")
    assert isinstance(victim.surface(surface), VictimSurface)
    assert type(victim.surface(surface)).__module__ == f"robench.engine.surfaces.{surface}.surface"
    assert victim.surface(surface) is victim.surface(surface), (
        "what is computed once per victim would be computed again"
    )


def test_a_surface_without_attacks_at_test_time_is_refused():
    with pytest.raises(TypeError, match="no measurement is known for the surface 'interactions'"):
        reference_victim("sequence").surface("interactions")
