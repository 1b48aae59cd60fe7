"""Tests ``tiger`` with a tiny encoder.

The tests cover conformance, the codes, the trie, and the T5 network.
"""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tests.tiny_bert import tiny_bert

from robench.api import Batch, Catalogue, Interactions, Item, Rng, TrainData
from robench.api.data import joined
from robench.testing import TorchModelTests
from robench.testing.worlds import fitted
from robench_plugins.models.tiger.codes import ItemCodes, codes_per_level, fit_codebooks, nearest_codes, soft_codes
from robench_plugins.models.tiger.model import SLOTS, Tiger
from robench_plugins.models.tiger.trie import Trie

SMALL = {"dim": 32, "heads": 2, "batch_size": 16, "learning_rate": 0.01, "max_length": 12}
WORDS = ["space", "robot", "galaxy", "wizard", "love", "kiss", "wedding", "heat", "night"]


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Returns the folder of a tiny encoder."""
    return str(tiny_bert(tmp_path_factory.mktemp("encoder")))


class TestTiger(TorchModelTests):
    model = Tiger
    settings: ClassVar[dict[str, Any]] = {**SMALL, "epochs": 6}
    board = {"epochs": 50, "dropout": 0.0, "codes": 24}  # every item has a first code of its own

    @pytest.fixture(autouse=True)
    def _tiny(self, weights):
        self.settings["weights"] = weights


def world(n_items=30):
    """Returns data whose titles collide: half of them are pairs with one text."""
    generator = np.random.default_rng(1)
    titles = [" ".join(generator.permutation(WORDS)[:2]) for _ in range(n_items - 4)]
    items = tuple(Item(title, 2000) for title in [*titles, *titles[:4]])
    rows = [generator.permutation(n_items)[:9] for _ in range(24)]
    train, validation = (
        Interactions.from_rows([row[part] for row in rows], n_items) for part in (slice(8), slice(8, 9))
    )
    return TrainData(train, validation, Catalogue(tuple(map(str, range(n_items))), items))


@pytest.fixture(scope="module")
def victim(weights):
    """Returns a model with two blocks and three codes per level, and its data."""
    data = world()
    return fitted(Tiger.make(**SMALL, weights=weights, epochs=2, layers=2, codes=3), data)[0], data


def brute_force(model, batch, item):
    """Returns the log-likelihood of an item's codes by T5's own passes, float [B].

    The histories must have equal lengths, because the library masks no padding here.
    """
    codes, trie = model.item_codes()
    tokens, table = codes.tokens(), model.vectors.weight
    path = tokens[item][trie.taken[item]]
    read = torch.cat([torch.zeros(len(batch.histories), 1, dtype=torch.int64), tokens[batch.histories].flatten(1)], 1)
    place = (torch.arange(read.shape[1]) + SLOTS - 1) // SLOTS
    sees = (place[:, None] >= place).expand(len(read), 1, -1, -1)
    mask = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)
    states = model.network.encoder(inputs_embeds=table[read], attention_mask=mask).last_hidden_state
    before = torch.cat([path.new_zeros(1), path[:-1]]).expand(len(read), -1)
    written = model.network.decoder(
        inputs_embeds=table[before],
        encoder_hidden_states=states,
        encoder_attention_mask=torch.ones(read.shape),
        use_cache=False,
    ).last_hidden_state
    logits = written @ table.T * table.shape[1] ** -0.5
    return logits.log_softmax(-1).gather(2, path.expand(len(read), -1).unsqueeze(2)).sum((1, 2))


def test_the_trie_gives_the_scores_of_t5_item_by_item(victim):
    model, data = victim
    batch = model.queries(np.arange(4), joined(data.train, data.validation))
    assert bool((batch.histories < model.n_items).all())
    with torch.no_grad():
        scores = model.score_from(batch, model.embed(batch))
        expected = torch.stack([brute_force(model, batch, item) for item in range(model.n_items)], 1)
    assert bool((model.item_codes()[0].codes[:, 3] > 0).any())
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("items", "codes", "layers"), [(12, 2, 1), (30, 2, 1), (45, 5, 2)])
def test_the_trie_gives_the_scores_of_t5_for_other_catalogues(weights, items, codes, layers):
    data = world(items)
    made = Tiger.make(**SMALL, weights=weights, epochs=1, layers=layers, codes=codes)
    model, _ = fitted(made, data)
    assert int(model.item_codes()[0].codes[:, 3].max()) > 1, "some items collide"
    batch = model.queries(np.arange(3), joined(data.train, data.validation))
    with torch.no_grad():
        scores = model.score_from(batch, model.embed(batch))
        expected = torch.stack([brute_force(model, batch, item) for item in range(items)], 1)
    assert bool(torch.isfinite(scores).all())
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)


def test_a_shorter_history_beside_a_longer_one_has_the_scores_of_t5(victim):
    model, data = victim
    history = joined(data.train, data.validation)
    histories = model.queries(np.arange(2), history).histories.clone()
    histories[1, 3:] = model.n_items
    padded, alone = (Batch(torch.zeros(len(rows)), rows) for rows in (histories, histories[1:, :3]))
    with torch.no_grad():
        scores = model.score_from(padded, model.embed(padded))[1]
        expected = torch.cat([brute_force(model, alone, item) for item in range(model.n_items)])
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)


def test_the_loss_of_every_position_is_minus_the_score_of_its_target(victim):
    model, data = victim
    batch = next(iter(model.batches(data, Rng(0))))
    with torch.no_grad():
        losses = model.loss_from(batch, model.embed(batch))
        targets = batch.targets["items"]
        found = iter(zip(losses.value.tolist(), losses.row.tolist(), strict=True))
        for row, position in (targets < model.n_items).nonzero().tolist():
            before = Batch(batch.users[:1], batch.histories[row : row + 1, : position + 1])
            score = model.score_from(before, model.embed(before))[0, targets[row, position]]
            value, own = next(found)
            assert own == row
            assert value == pytest.approx(-float(score), abs=1e-4)
    assert next(found, None) is None


def test_each_shared_prefix_is_one_node():
    codes = ItemCodes(torch.tensor([[0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 1, 2], [1, 1, 1, 0], [0, 1, 1, 2]]), 2)
    trie = Trie.of(codes)
    # The nodes are the empty prefix, 0, 1, 01, 11 and 011.
    assert trie.depth.tolist() == [0, 1, 1, 2, 2, 3]
    assert trie.token.tolist() == [0, 1, 2, 4, 4, 6]
    assert trie.node.tolist() == [[0, 1, 3, 0], [0, 1, 3, 5], [0, 1, 3, 5], [0, 2, 4, 0], [0, 1, 3, 5]]
    assert trie.ancestors[5].tolist() == [0, 1, 3, 5]
    assert trie.taken[:, 3].tolist() == [False, True, True, False, True]


def test_the_likelihoods_of_a_complete_trie_sum_to_one():
    leaves = torch.cartesian_prod(*[torch.arange(2)] * 3)
    trie = Trie.of(ItemCodes(torch.cat([leaves, torch.zeros(8, 1, dtype=torch.int64)], 1), 2))
    logits = torch.randn(3, len(trie.token), 10, generator=torch.Generator().manual_seed(0))
    likelihoods = torch.full_like(logits, -torch.inf)
    for depth in range(3):
        own = slice(1 + 2 * depth, 3 + 2 * depth)
        likelihoods[:, trie.depth == depth, own] = logits[:, trie.depth == depth, own].log_softmax(-1)
    scores = trie.item_scores(likelihoods.clamp_min(-100))
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))


def shuffled(data, order):
    """Returns the same data with other numbers of the items."""
    number = np.argsort(order)
    parts = [
        Interactions(part.indptr, number[part.items], part.times, part.n_items)
        for part in (data.train, data.validation)
    ]
    catalogue = data.catalogue
    moved = Catalogue(*(tuple(part[row] for row in order) for part in (catalogue.ids, catalogue.items)))
    return TrainData(*parts, moved)


def test_the_numbers_of_the_items_change_nothing(victim):
    model, data = victim
    order = np.random.default_rng(3).permutation(data.n_items)
    moved = shuffled(data, order)
    other, _ = fitted(Tiger(model.config), moved)
    scores = model.scores(np.arange(24), joined(data.train, data.validation))
    np.testing.assert_array_equal(other.scores(np.arange(24), joined(moved.train, moved.validation)), scores[:, order])


def test_items_with_one_text_have_one_score_and_others_differ(victim):
    model, data = victim
    scores = model.scores(np.arange(24), joined(data.train, data.validation))
    np.testing.assert_array_equal(scores[:, :4], scores[:, -4:])
    texts = [item.title for item in data.catalogue.items]
    assert len(np.unique(model.item_codes()[0].codes.numpy(), axis=0)) == len(set(texts))


def test_a_code_is_the_nearest_centroid_of_the_residual():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(40, 5)).astype(np.float32)
    books = fit_codebooks(vectors, 4)
    np.testing.assert_array_equal(books, fit_codebooks(vectors[::-1], 4), "the order of the vectors matters")
    residual = vectors.astype(np.float64)
    for level in range(3):
        distance = ((residual[:, None] - books[level]) ** 2).sum(2)
        own = distance.argmin(1)
        for code in range(4):  # each centroid is the mean of its residuals
            np.testing.assert_allclose(books[level][code], residual[own == code].mean(0), atol=1e-5)
        residual = residual - books[level][own]
        codes, _ = nearest_codes(torch.from_numpy(vectors), torch.from_numpy(books))
        assert codes[:, level].tolist() == own.tolist()


def test_texts_that_collide_are_told_apart_by_their_distance_to_the_centroids():
    books = torch.zeros(3, 2, 2)
    books[0, 1] = 10.0
    texts = torch.tensor([[0.5, 0.0], [10.0, 10.0], [0.0, 0.1], [0.0, 0.0], [0.0, 0.1]])
    assert ItemCodes.of(texts, books).codes[:, 3].tolist() == [2, 0, 2, 1, 2]  # K = 2, so the third text is the second
    assert ItemCodes.of(texts, books).codes[:, 0].tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(("items", "size"), [(1, 4), (32, 4), (33, 8), (1303, 16), (12101, 32)])
def test_there_are_two_triples_of_codes_per_item(items, size):
    assert codes_per_level(items) == size


def test_fewer_texts_than_codes_are_told_apart():
    vectors = np.eye(3, dtype=np.float32)
    codes = ItemCodes.of(torch.from_numpy(vectors), torch.from_numpy(fit_codebooks(vectors, 8)))
    assert len(np.unique(codes.codes[:, 0])) == 3
    assert not codes.codes[:, 3].any()


def test_a_rewritten_item_takes_the_codes_of_its_new_text(victim):
    model, data = victim
    before = model.scores(np.arange(24), joined(data.train, data.validation))
    rewritten = model.rewritten({7: data.catalogue.items[2]})
    after = rewritten.scores(np.arange(24), joined(data.train, data.validation))
    np.testing.assert_array_equal(after[:, 7], after[:, 2])
    codes, old = rewritten.item_codes()[0].codes, model.item_codes()[0].codes
    assert codes[7].tolist() == codes[2].tolist()
    assert old[7].tolist() != old[2].tolist()
    np.testing.assert_array_equal(model.scores(np.arange(24), joined(data.train, data.validation)), before)


def test_the_slope_of_a_title_is_that_of_soft_weights_of_its_codes(victim):
    model, data = victim
    batch = model.queries(np.arange(6), joined(data.train, data.validation))
    leaf = model.texts.clone().requires_grad_()
    scores = model.under({"texts": leaf}, lambda: model.score_from(batch, model.embed(batch)))
    with torch.no_grad():
        torch.testing.assert_close(scores, model.score_from(batch, model.embed(batch)), rtol=0, atol=1e-6)
    (slope,) = torch.autograd.grad(scores[:, 7].sum(), leaf)
    assert bool(slope[7].any())
    weights = soft_codes(leaf, model.books)
    codes = model.item_codes()[0].codes
    assert torch.equal(weights.detach().argmax(2), codes[:, :3])
    assert set(weights.detach().unique().tolist()) == {0.0, 1.0}
    # A step towards the centroid of a code raises the soft weight of this code.
    for code in range(3):
        toward = model.books[0, code] - leaf[7].detach()
        (gradient,) = torch.autograd.grad(weights[7, 0, code], leaf, retain_graph=True)
        assert float(gradient[7] @ toward) > 0
