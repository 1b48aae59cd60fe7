"""Tests edits against brute force, and slopes against torch's own gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from robench.api import Embedded, Interactions, Losses, PluginError, Rng, TorchModel, TrainData
from robench.engine.attack.costs import Costs, Diagnosis
from robench.testing.worlds import ReferenceSequence, crowd, fitted, measured_victim
from robench_plugins.attacks.history.edit_effects import EditEffects
from robench_plugins.attacks.history.greedy_edit import GreedyEdit
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.ease import Ease
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.sasrec import SasRec


def arena_of(bench, attack, epsilon=1.0):
    (arena,) = bench.surface("history").arenas(attack, epsilon, Costs(), Diagnosis())
    return arena


def linear_bench(cls, **settings):
    data, test = crowd(n_users=12, n_items=14, length=4)
    return measured_victim(fitted(cls.make(**settings), data)[0], data, test)


def neighbours(row, free):
    """Yields every history that is one edit away from ``row``.

    Only items in ``free`` are inserted.
    """
    for place in range(len(row)):
        yield row[:place] + row[place + 1 :]
        yield from ([*row[:place], item, *row[place + 1 :]] for item in free)
    for place in range(len(row) + 1):
        yield from ([*row[:place], item, *row[place:]] for item in free)


@pytest.mark.parametrize(("cls", "weights"), [(Ease, "weights"), (ItemKnn, "similarity")])
def test_one_greedy_edit_is_the_best_of_all(cls, weights):
    bench = linear_bench(cls)
    attack = GreedyEdit.make(queries=None, loss="ce", finalists=1)
    arena = arena_of(bench, attack)
    (rows,) = attack.rewrite(arena.oracle, Rng(0))
    loss = arena.oracle.evaluate(rows).loss.numpy()
    table = getattr(bench.model, weights)
    table = np.asarray(table.todense() if hasattr(table, "todense") else table, dtype=np.float64)
    for user in range(12):
        row, y = bench.history.row(user).tolist(), int(bench.held.row(user)[0])
        free = [i for i in range(14) if i not in row and i != y]
        best = -np.inf
        for other in (row, *neighbours(row, free)):
            scores = table[other].sum(0) if other else bench.model.counts.astype(np.float64)
            left = np.delete(scores, row)
            best = max(best, float(np.log(np.exp(left).sum()) - scores[y]))
        assert loss[user] == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("cls", [Ease, ItemKnn])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_the_measured_effects_of_edits_lead_to_the_worst_rank_of_all(cls, length):
    """The effect of a substitution on additive scores is a sum of two effects.

    These are the effects of a deletion and of an insertion. An empty history is scored in another way, so a history
    with a single item is a special case.
    """
    data, test = crowd(n_users=20, n_items=40, length=6, seed=3)
    model = fitted(cls.make(), data)[0]
    rows = [[*data.train.row(user), *data.validation.row(user)][:length] for user in range(20)]
    known = TrainData(Interactions.from_rows(rows, 40), Interactions.from_rows([[]] * 20, 40), data.catalogue)
    bench = measured_victim(model, known, test)
    # With one combined edit per user, only an exact prediction finds the worst one.
    settings = {"verified": 1, "leaders": 0, "finalists": 1}
    ranks = bench.attacked(EditEffects.make(**settings), 1, "effects").arrays["ranks"]
    worst, before = [], bench.clean(None).arrays["ranks"]
    for user in range(20):
        row, y = bench.history.row(user).tolist(), int(bench.held.row(user)[0])
        free = [i for i in range(40) if i not in row and i != y]
        others = [row, *neighbours(row, free)]
        histories = Interactions.from_rows(others, 40)
        scores = bench.model.newcomers(histories)
        scores[:, row] = -np.inf
        worst.append(int((scores >= scores[:, y : y + 1]).sum(1).max()))
    assert ranks.tolist() == worst
    assert (ranks > before).sum() > (10 if length > 1 else 5), "the world must have something to find"


class Linear(TorchModel):
    """A model with scores that are a sum of table rows, one per item of the history."""

    def build(self, data, rng):
        self.table = nn.Embedding(data.n_items + 1, data.n_items, padding_idx=data.n_items)
        self.far = torch.zeros(data.n_items)

    def batches(self, data, rng):
        raise NotImplementedError

    def queries(self, users, history):
        return MultiVae.queries(self, users, history)

    def embed(self, batch):
        bag = self.table(batch.histories).sum(1)
        return Embedded({"bag": bag}, {"bag": torch.ones(len(bag), dtype=torch.bool)})

    def score_from(self, batch, e):
        return e.inputs["bag"] + self.far

    def loss_from(self, batch, e):
        return Losses(e.inputs["bag"].sum(1), torch.arange(len(batch.users)))


@pytest.mark.parametrize("edits", [1, 2])
def test_where_slopes_are_exact_one_candidate_per_edit_is_the_optimum(edits):
    data, _ = crowd(n_users=10, n_items=16, length=4)
    model = Linear()
    model.initialise(data, Rng(0))
    model.eval()
    # Item 14 is held out, and item 15 is the only rival, so the margin at k = 1 is linear in the history.
    model.far[:14] = -1e4
    rows = [[i for i in (*data.train.row(u), *data.validation.row(u)) if i < 14] for u in range(10)]
    history = Interactions.from_rows(rows, 16)
    data = type(data)(history, Interactions.from_rows([[]] * 10, 16), data.catalogue)
    bench = measured_victim(model, data, Interactions.from_rows([[14]] * 10, 16))
    attack = GreedyGradient.make(candidates=1, loss="margin", k=1)
    arena = arena_of(bench, attack, edits)
    *_, last = attack.rewrite(arena.oracle, Rng(0))
    loss = arena.oracle.evaluate(last, "margin").loss.numpy()
    value = (model.table.weight[:16, 15] - model.table.weight[:16, 14]).detach().numpy()
    for user, row in enumerate(rows):
        comes = sorted((value[i] for i in range(16) if i not in row and i != 14), reverse=True)
        goes = sorted(value[row])
        gains = [max(0.0, new - old) for new, old in zip(comes[:edits], goes[:edits], strict=True)]
        assert loss[user] == pytest.approx(value[row].sum() + sum(gains), rel=1e-4, abs=1e-4)


SMALL = {"dim": 8, "max_length": 6}
NEURAL = {
    ReferenceSequence: SMALL,
    Lstm: {**SMALL, "hidden": 8},
    SasRec: SMALL,
    Bert4Rec: SMALL,
    MultiVae: {"hidden": 8, "latent": 4},
}


@pytest.mark.parametrize("cls", NEURAL)
def test_slopes_are_gradients_along_the_change_of_the_embedded_inputs(cls):
    data, test = crowd(n_users=9, n_items=24, ragged=True)
    model = cls.make(**NEURAL[cls])
    model.initialise(data, Rng(0))
    bench = measured_victim(model.double().eval(), data, test)
    arena = arena_of(bench, GreedyGradient.make(), 1)
    oracle, genuine = arena.oracle, arena.genuine()["items"]
    slopes = oracle.slopes(genuine)

    def inputs(rows):
        batch = model.queries(bench.users, oracle._histories.with_rows(rows))
        with torch.no_grad():
            return batch, model.embed(batch)

    batch, e = inputs(genuine)
    leaves = {name: part.detach().requires_grad_() for name, part in e.inputs.items()}
    scores = model.score_from(batch, Embedded(leaves, e.valid, e.context))
    known = torch.zeros_like(scores, dtype=torch.bool).index_put(oracle.chunk.masked, torch.tensor(True))
    loss = oracle.goal.loss(scores.masked_fill(known, -torch.inf), "ce").sum()
    gradient = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    generator = np.random.default_rng(0)
    for user in range(9):
        places = slopes.place[user][slopes.place[user] >= 0]
        length = int((genuine[user] >= 0).sum())
        assert places.tolist() == list(range(length - len(places), length)), "not the last places of the history"
        for _ in range(5):
            which, item = generator.integers(len(places)), generator.integers(24)
            rows = genuine.clone()
            rows[user, places[which]] = int(item)
            after = inputs(rows)[1].inputs
            expected = sum(float((gradient[n][user] * (after[n] - e.inputs[n])[user]).sum()) for n in gradient)
            if item != genuine[user, places[which]]:
                assert float(slopes.of(user)[which, item]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_model_without_gradients_has_no_slopes():
    with pytest.raises(PluginError, match="gradient"):
        linear_bench(Ease).attacked(GreedyGradient.make(), 1, "no gradient")
