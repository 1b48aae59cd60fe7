"""Tests how the host checks a δ before the judgement.

Entries at the padding become zero, and invalid shifts are refused.
"""

import math

import numpy as np
import pytest
import torch

from robench.api import EmbeddingAttack, MinimumNormAttack, PluginError, Rng
from robench.api.attacks.ball import Ball
from robench.engine.attack.arena import search_worst
from robench.engine.attack.costs import Costs, Diagnosis
from robench.testing.worlds import reference_victim


class Straight(EmbeddingAttack):
    """An attack that takes one step along the gradient, to the edge of its ball."""

    def perturb(self, oracle, ball, rng):
        yield self.changed(ball.ascent(oracle.gradient(oracle.zero()).gradient))

    def changed(self, delta):
        return delta


class Padded(Straight):
    """An attack that takes the step of ``Straight``, and fills the padding.

    The entries at the padding are large. The attack recognises padding by a gradient of zero.
    """

    def changed(self, delta):
        return {name: torch.where((part == 0).all(-1, keepdim=True), 1e3, part) for name, part in delta.items()}


class Longer(MinimumNormAttack, Straight):
    """An attack that proposes steps of growing length along the gradient."""

    def minimise(self, oracle, rng):
        gradient = oracle.gradient(oracle.zero()).gradient
        for length in (0.1, 0.3, 1.0, 3.0):
            ball = Ball("l2", torch.full_like(oracle.lengths(), length))
            yield self.changed(ball.ascent(gradient))


class PaddedLonger(Longer, Padded):
    """An attack that takes the steps of ``Longer``, and fills the padding."""


class Named(Straight):
    """An attack that shifts an input that the model does not have."""

    def changed(self, delta):
        return {f"other {name}": part for name, part in delta.items()}


class Cut(Straight):
    """An attack that proposes every second entry of its step."""

    def changed(self, delta):
        return {name: part[..., ::2] for name, part in delta.items()}


class Infinite(Straight):
    """An attack that proposes an infinitely long step."""

    def changed(self, delta):
        return {name: torch.full_like(part, math.inf) for name, part in delta.items()}


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_entries_at_the_padding_change_nothing_and_cost_no_budget(norm):
    bench = reference_victim("ragged")
    plain, padded = (bench.attacked(kind.make(norm=norm), 0.2, kind.__name__) for kind in (Straight, Padded))
    assert padded.achieved == plain.achieved
    assert plain.arrays["ranks"].sum() > bench.clean(None).arrays["ranks"].sum()
    for name, array in plain.arrays.items():
        np.testing.assert_array_equal(padded.arrays[name], array, name)


def test_the_least_delta_has_no_entries_at_the_padding():
    bench = reference_victim("ragged")
    radii = [bench.attacked(kind.make(), 1.0, kind.__name__).arrays["radius"] for kind in (Longer, PaddedLonger)]
    np.testing.assert_array_equal(*radii)
    assert len(np.unique(radii[0])) > 3, "several lengths, 0 and infinity"


def test_in_an_ensemble_a_delta_fits_the_budget_without_its_entries_at_the_padding():
    ranks = []
    for attack in (Longer.make(), PaddedLonger.make()):
        (arena,) = reference_victim("ragged").surface("embedding").arenas(attack, 0.5, Costs(), Diagnosis())
        ranks.append(arena.stored(search_worst(arena, attack, Rng(0)).candidate)["ranks"])
    np.testing.assert_array_equal(*ranks)
    assert ranks[0].sum() > reference_victim("ragged").clean(None).arrays["ranks"].sum()


class Returning(EmbeddingAttack):
    """An attack that returns its δ and does not yield it."""

    def perturb(self, oracle, ball, rng):
        return oracle.zero()


class InNumpy(EmbeddingAttack):
    """An attack that yields arrays in place of tensors."""

    def perturb(self, oracle, ball, rng):
        yield {name: part.numpy() for name, part in oracle.zero().items()}


@pytest.mark.parametrize(
    ("attack", "problem"),
    [
        (Returning, r"gave a str, not a δ per input \(does it return δ instead of yielding it\?\)"),
        (InNumpy, "gave a ndarray for input 'items', not a tensor"),
        (Named, "gave nothing for input 'items'"),
        (Cut, r"gave \(60, 11, 8\) for input 'items' of shape \(60, 11, 16\)"),
        (Infinite, "not finite for input 'items'"),
    ],
)
def test_a_delta_that_does_not_fit_the_inputs_is_an_error_of_the_plugin(attack, problem):
    with pytest.raises(PluginError, match=problem):
        reference_victim("sequence").attacked(attack.make(), 0.2, "")
