"""Tests that measurements on a fake GPU equal those on the CPU.

The fake GPU is in ``tests/fake_gpu.py``. No operation mixes two devices, and scores stay on the GPU. The number of
times that the host waits for the GPU does not grow with the number of users.
"""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from tests.fake_gpu import Gpu

from robench.engine.measure import MeasuredVictim
from robench.engine.rank.chunk import EvaluationChunk, chunk_size
from robench.engine.rank.gpu import rank_on_device
from robench.engine.rank.ranking import rank_items
from robench.testing.worlds import ReferenceSequence, crowd, fitted, measured_victim, reference_victim
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.msap import Msap
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_search import RandomSearch
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient

ATTACKS = {
    "fgsm": (Fgsm, {}, 0.1),
    "pgd": (Pgd, {"steps": 3, "restarts": 2}, 0.1),
    "pgd l2": (Pgd, {"steps": 3, "norm": "l2", "loss": "margin"}, 0.1),
    "apgd": (Apgd, {"steps": 4, "restarts": 2}, 0.1),
    "cw": (CarliniWagner, {"steps": 3, "search": 2, "refine": 2}, 0.1),
    "random-search": (RandomSearch, {"queries": 4}, 0.1),
    "tables": (Pgd, {"surface": "parameters", "norm": "l2", "steps": 2}, 0.1),
    "msap": (Msap, {"steps": 2}, 0.1),
    "greedy-gradient": (GreedyGradient, {}, 1.0),
}
TARGETS = np.array([3, 5])


class Sums(ReferenceSequence):
    """A sequence model without recurrent kernels.

    The fake GPU cannot differentiate recurrent kernels.
    """

    def build_layers(self):
        self.layer, self.drop = torch.nn.Linear(self.config.dim, self.config.dim), torch.nn.Dropout(0.1)

    def states(self, batch, e):
        return self.layer(self.drop(e.inputs["items"]).cumsum(1)).tanh()


@cache
def sums():
    data, test = crowd(ragged=True)
    return measured_victim(fitted(Sums.make(epochs=3), data)[0], data, test)


def victim(kind, gpu=None, users=None):
    """Returns a victim on the CPU, or on the fake GPU if ``gpu`` is given.

    If ``users`` is given, the victim has only the first ``users`` users.
    """
    given = reference_victim("pairwise") if kind == "pairwise" else sums()
    model = given.model if gpu is None else gpu.put(deepcopy(given.model))
    return MeasuredVictim(model, given.history, given.held, given.users[:users], 0)


def measure(some, name):
    """Returns the arrays of a clean measurement, or of one under the attack ``name``."""
    if name == "clean":
        return some.clean(TARGETS).arrays
    attack, settings, epsilon = ATTACKS[name]
    return some.attacked(attack.make(**settings), epsilon, name).arrays


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
@pytest.mark.parametrize("name", ["clean", *ATTACKS])
def test_a_gpu_gives_what_the_cpu_gives(kind, name):
    if kind == "pairwise" and name == "greedy-gradient":
        pytest.skip("it reads no history")
    expected = measure(victim(kind), name)
    with Gpu() as gpu:
        found = measure(victim(kind, gpu), name)
    assert found.keys() == expected.keys()
    for array, values in expected.items():
        np.testing.assert_array_equal(found[array], values, err_msg=array)


@pytest.mark.parametrize("name", ["clean", "pgd", "pgd l2", "apgd", "random-search"])
def test_the_host_waits_as_often_for_many_users_as_for_few(name):
    waits, moved = [], []
    for users in (16, 32):
        with Gpu() as gpu:
            some = victim("sequence", gpu, users)
            some.noise()  # the noise estimate uses at most eight users
            gpu.waits = gpu.moved = 0
            measure(some, name)
            waits.append(gpu.waits)
            moved.append(gpu.moved / users)
    assert waits[0] == waits[1]
    # Ranks, lists and distances come back to the host, but the scores of the catalogue do not.
    assert max(moved) < 1.5 * some.history.n_items


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        (Pgd.make(), 6),
        (Pgd.make(norm="l2"), 8),
        (Pgd.make(surface="parameters", norm="l2"), 8),
        (Msap.make(), 10),
    ],
)
def test_the_host_waits_a_few_times_per_step_however_many_users_there_are(attack, most):
    per_step = []
    for users in (16, 32):
        counts = []
        for steps in (2, 4):
            with Gpu() as gpu:
                some = victim("sequence", gpu, users)
                some.attacked(type(attack).make(**{**attack.config.model_dump(), "steps": steps}), 0.1, "a")
                counts.append(gpu.waits)
        per_step.append((counts[1] - counts[0]) / 2)
    assert per_step[0] == per_step[1] <= most


@pytest.mark.parametrize(("users", "n_items", "levels"), [(7, 40, 4), (5, 9, 1000), (3, 5, 2), (1, 200, 3)])
@pytest.mark.parametrize("negatives", [False, True])
def test_ranks_on_a_device_equal_those_on_the_cpu_with_ties_and_few_items(users, n_items, levels, negatives):
    generator = torch.Generator().manual_seed(users)

    def whole(high, *shape):
        return torch.randint(high, shape, generator=generator)

    for _ in range(20):
        scores = whole(levels, users, n_items).float()
        held = torch.stack([torch.randperm(n_items, generator=generator)[:2] for _ in range(users)])
        held[:, 1] = torch.where(whole(2, users) > 0, held[:, 1], -1)
        known = torch.rand(users, n_items, generator=generator) < 0.4
        known.scatter_(1, held.clamp_min(0), False)
        pairs = torch.where(held >= 0, whole(n_items, users, 2), -1) if negatives else None
        chunk = EvaluationChunk(torch.arange(users), known.nonzero(as_tuple=True), held, pairs)
        targets = np.array([0, 3, 4])
        expected = rank_items(scores.clone().numpy(), chunk, targets)
        found = rank_on_device(scores, chunk, targets)
        for name in ("ranks", "top", "targets", "pairs"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_chunks_of_a_gpu_grow_with_its_memory_and_those_of_the_cpu_do_not(monkeypatch):
    class Properties:
        total_memory = 24 << 30

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    gpu = torch.device("cuda")
    assert [chunk_size(items) for items in (1303, 40_000, 1_000_000)] == [1024, 128, 32]
    assert [chunk_size(items, gpu) for items in (1303, 40_000, 1_000_000)] == [4096, 512, 32]
    Properties.total_memory = 139 << 30
    assert [chunk_size(items, gpu) for items in (1303, 40_000, 1_000_000)] == [4096, 2048, 128]
    Properties.total_memory = 1 << 30
    assert [chunk_size(items, gpu) for items in (1303, 40_000)] == [4096, 128]
