"""Tests that users of several chunks are attacked together, with equal results."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch

from robench.api import Member
from robench.engine.attack import pool, victim
from robench.engine.attack.pool import pool_arenas
from robench.engine.measure import MeasuredVictim
from robench.engine.surfaces.embedding.oracle import EmbeddingOracle
from robench.testing.worlds import crowd, fitted, measured_victim
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.attacks.embedding.random_search import RandomSearch
from robench_plugins.attacks.embedding.smooth_rank import SmoothRank
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.sasrec import SasRec

MODELS = {
    "mf": MatrixFactorization.make(factors=16, epochs=8),
    "sasrec": SasRec.make(dim=16, max_length=16, epochs=2),
}


class Short(Auto):
    """A short form of the ensemble ``auto`` on ``embedding``, with few steps."""

    def members(self, *, gradients, stochastic):
        ball = self._ball(stochastic)
        return [
            Member("random-noise", RandomNoise.make(**ball, draws=2), everyone=True),
            Member("pgd", Pgd.make(**ball, steps=4), everyone=True),
            Member("apgd-margin", Apgd.make(**ball, loss="margin", steps=5)),
            Member("apgd-hinge", Apgd.make(**ball, loss="hinge", steps=5)),
            Member("smooth-rank", SmoothRank.make(**ball, steps=12)),
            Member("random-search", RandomSearch.make(**ball, loss="hinge", queries=6), everyone=True),
        ]


@cache
def fitted_victim(name):
    """Returns a victim with 66 users, whose histories have different lengths."""
    data, test = crowd(n_users=66, length=15, ragged=True)
    return measured_victim(fitted(MODELS[name], data)[0], data, test)


def in_chunks(whole, size, monkeypatch):
    """Returns a victim like ``whole``, with chunks of at most ``size`` users."""
    monkeypatch.setattr(victim, "chunk_size", lambda *_: size)
    return MeasuredVictim(whole.model, whole.history, whole.held, whole.users, 0)


@pytest.mark.parametrize(("name", "norm"), [("mf", "l2"), ("mf", "linf"), ("sasrec", "l2")])
def test_results_do_not_depend_on_the_chunk_size_or_on_pools(name, norm, monkeypatch):
    """Floats may differ a little.

    The reason is that the rounding of a sigmoid depends on the place of the number in the tensor.
    """
    whole, attack, epsilon = fitted_victim(name), Short.make(norm=norm), 0.2
    expected = whole.attacked(attack, epsilon, "")
    hit, broken = expected.arrays["hit"], expected.arrays["first"] >= 0
    assert 0 < broken.sum() < hit.sum() < len(hit), "a world in which some users stand and some need no attack"
    for size, arenas in ((8, 16), (8, 3), (32, 1)):
        monkeypatch.setattr(pool, "MOST_ARENAS", arenas)
        split = in_chunks(whole, size, monkeypatch).attacked(attack, epsilon, "")
        assert split.arrays.keys() == expected.arrays.keys()
        for array, values in expected.arrays.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(split.arrays[array], values, rtol=1e-5, atol=1e-6, err_msg=array)
            else:
                np.testing.assert_array_equal(split.arrays[array], values, f"{array}, {size} users")
        assert split.members == expected.members
        assert split.achieved == pytest.approx(expected.achieved)
        assert split.diagnostics == pytest.approx(expected.diagnostics)


def test_members_attack_the_users_of_several_chunks_together(monkeypatch):
    """Without pools, each member would build an oracle for every chunk."""
    rows, embed = [], EmbeddingOracle.embed.__func__

    def counted(cls, model, batch, *more):
        rows.append(len(batch.users))
        return embed(cls, model, batch, *more)

    split = in_chunks(fitted_victim("mf"), 16, monkeypatch)
    split.checks  # noqa: B018  # the checks embed users, too
    monkeypatch.setattr(EmbeddingOracle, "embed", classmethod(counted))
    arrays = split.attacked(Short.make(norm="l2"), 0.2, "").arrays
    chunks, members = len(split.chunks()), 6
    assert chunks >= 4
    assert len(rows) < chunks * (1 + members) / 2
    assert max(rows) <= 16
    assert arrays["hit"].sum() > max(rows) / 2


@dataclass
class Stub:
    """A stub arena with ``n_users`` users. The first ``own`` are to be broken."""

    form: object
    n_users: int
    own: int

    @property
    def to_break(self):
        return torch.arange(self.n_users) < self.own


def groups(arenas, most):
    return [len(group) for group in pool_arenas(iter(arenas), most)]


def test_a_group_has_a_bounded_number_of_users_to_break_unless_it_is_one_arena():
    assert groups([Stub("a", 64, 6)] * 5, 12) == [2, 2, 1]
    assert groups([Stub("a", 64, 20), Stub("a", 64, 0), Stub("a", 64, 1)], 12) == [1, 2]
    assert groups([], 12) == []


def test_only_arenas_of_one_form_are_pooled():
    assert groups([Stub("a", 4, 1), Stub("a", 4, 1), Stub("b", 4, 1), Stub("a", 4, 1)], 99) == [2, 1, 1]
    assert groups([Stub(None, 4, 1)] * 3, 99) == [1, 1, 1]


def test_the_memory_of_a_group_is_bounded(monkeypatch):
    assert groups([Stub("a", 1024, 1)] * 9, 999) == [4, 4, 1]
    monkeypatch.setattr(pool, "MOST_ARENAS", 3)
    assert groups([Stub("a", 8, 1)] * 7, 999) == [3, 3, 1]
