"""Tests ``text-bert`` with a tiny encoder.

The tests cover conformance, the layers that training changes, and rewritten texts.
"""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.tiny_bert import tiny_bert

from robench.api import Catalogue, DataError, Interactions, Item, Rng, TrainData
from robench.api.attacks.text import item_text
from robench.api.data import joined
from robench.pretrained.encoder import Encoder
from robench.testing import TorchModelTests
from robench.testing.worlds import crowd, fitted, same_state
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.models.text_bert import TextBert

SMALL = {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "max_length": 12}
KINDS = {
    "transformer": {},
    "lstm": {"history": "lstm"},
    "tokens": {"inputs": "tokens"},
    "tuned": {"tuned_layers": 1},
    "all tuned": {"tuned_layers": "all"},
    "tuned tokens": {"tuned_layers": 2, "inputs": "tokens", "history": "lstm"},
}


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Returns the folder of a tiny encoder."""
    return str(tiny_bert(tmp_path_factory.mktemp("encoder")))


class _TextBertTests(TorchModelTests):
    model = TextBert
    settings: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _tiny(self, weights):
        self.settings["weights"] = weights

    def test_the_tables_reach_the_scores_without_being_changed(self, world):
        assert not world.model.tables
        assert "parameters" not in world.model.surfaces


# Training is gentle, because a small network soon memorises forty titles. An unused title then resembles none.
GENTLE = {**SMALL, "learning_rate": 3e-3}


class TestTransformer(_TextBertTests):
    settings = {**GENTLE, "epochs": 8}
    board = {"epochs": 40}


class TestLstm(_TextBertTests):
    settings = {**GENTLE, "epochs": 8, "history": "lstm", "dropout": 0.5}
    board = {"epochs": 40}


class TestTokens(_TextBertTests):
    settings = {**GENTLE, "epochs": 8, "inputs": "tokens"}
    board = {"epochs": 40}


class TestTuned(_TextBertTests):
    settings = {**GENTLE, "epochs": 8, "tuned_layers": 1}
    board = {"epochs": 40}


def new(weights, kind="transformer", **settings):
    return TextBert.make(**{**SMALL, "epochs": 2, "weights": weights, **KINDS[kind], **settings})


@pytest.fixture(scope="session")
def victims(weights):
    """Returns a function from a kind of model to a fitted model and its data.

    Each kind is fitted once.
    """
    made, (data, _) = {}, crowd(n_users=24)

    def victim(kind):
        if kind not in made:
            made[kind] = fitted(new(weights, kind), data)[0]
        return made[kind], data

    return victim


def scores(model, data, users=24):
    """Returns the scores of the first users, float [users, n_items]."""
    return model.scores(np.arange(users), joined(data.train, data.validation))


def weights_of(model):
    return {name: part.detach().clone() for name, part in model.encoder.net.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("kind", ["transformer", "lstm", "tokens"])
def test_a_frozen_encoder_is_untouched_and_no_part_of_the_model(victims, weights, kind):
    model, _ = victims(kind)
    assert not changed(weights_of(new(weights)), weights_of(model))
    assert not any(part.requires_grad for part in model.encoder.net.parameters())
    own = {id(part) for part in model.parameters()}
    assert not own & {id(part) for part in model.encoder.net.parameters()}
    assert not any("texts" in name or "encoder" in name for name in model.state())


def test_a_catalogue_is_encoded_once_per_cache(weights, monkeypatch, tmp_path):
    read, encode = [], Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, texts: read.append(list(texts)) or encode(self, texts))
    data, _ = crowd(n_users=12)
    first, second = (fitted(new(weights, kind), data)[0] for kind in ("transformer", "lstm"))
    assert read == [[item_text(item) for item in data.catalogue.items]]
    assert torch.equal(first.texts, second.texts)
    fitted(new(weights, max_tokens=8), data)
    assert len(read) == 2
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path))
    fitted(new(weights), data)
    assert len(read) == 3


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("inputs", ["texts", "tokens"])
def test_only_the_last_layers_move(weights, layers, inputs):
    data, _ = crowd(n_users=24)
    model, _ = fitted(new(weights, tuned_layers=layers, inputs=inputs), data)
    moved = changed(weights_of(new(weights)), weights_of(model))
    assert {int(name.split(".")[2]) for name in moved} == set(range(2 - layers, 2))
    layer = {name for name in weights_of(model) if f"layer.{2 - layers}." in name}
    assert len(moved & layer) >= len(layer) - 1  # the gradient of the bias of the keys is zero, apart from rounding
    inside = [name for name in weights_of(model) if name.split(".")[2] in map(str, range(2 - layers, 2))]
    assert sum(name.startswith("tuned") for name in model.state()) == len(inside)


@pytest.mark.parametrize("inputs", ["texts", "tokens"])
def test_all_of_the_encoder_moves_and_comes_out_of_a_checkpoint(weights, inputs):
    data, _ = crowd(n_users=24)
    model, _ = fitted(new(weights, tuned_layers="all", inputs=inputs), data)
    moved = changed(weights_of(new(weights)), weights_of(model))
    assert {name.split(".")[0] for name in moved} == {"embeddings", "encoder"}
    assert "embeddings.word_embeddings.weight" in moved
    assert {name.split(".")[2] for name in moved if name.startswith("encoder")} == {"0", "1"}
    again = new(weights, tuned_layers="all", inputs=inputs)
    again.restore(data, model.state(), Rng(0).child("fit"))
    np.testing.assert_array_equal(scores(again, data), scores(model, data))


@pytest.mark.parametrize("layers", [-1, "most", 1.5, True])
def test_an_invalid_number_of_layers_is_refused_in_one_line(layers):
    with pytest.raises(ValidationError, match="must be a number of layers from 0, or all") as error:
        TextBert.make(tuned_layers=layers)
    assert [found["loc"] for found in error.value.errors()] == [("tuned_layers",)]


def test_more_layers_than_the_encoder_has_are_refused(weights):
    data, _ = crowd(n_users=12)
    with pytest.raises(DataError, match="tuned_layers: 3, and the encoder has 2"):
        new(weights, tuned_layers=3).initialise(data, Rng(0))


def test_texts_are_renewed_before_every_validation_and_after_a_checkpoint(weights, monkeypatch):
    data, _ = crowd(n_users=24)
    seen = []
    look = TextBert.scores

    def spy(self, users, history):
        fresh = self.encoder.encode([item_text(item) for item in data.catalogue.items])
        seen.append(torch.equal(fresh, self.texts))
        return look(self, users, history)

    monkeypatch.setattr(TextBert, "scores", spy)
    model = new(weights, "tuned", epochs=3)
    fitted(model, data)
    assert seen == [True] * 3
    expected = scores(model, data)
    again = new(weights, "tuned")
    again.restore(data, model.state(), Rng(0).child("fit"))
    np.testing.assert_array_equal(scores(again, data), expected)
    assert seen == [True] * 5
    again.train().eval()
    np.testing.assert_array_equal(scores(again, data), expected)


def test_a_second_fit_starts_from_the_pretrained_layers(weights):
    data, _ = crowd(n_users=24)
    model = new(weights, "tuned")
    first = dict(fitted(model, data)[0].state())
    second = fitted(model, data)[0].state()
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_from_embedded_inputs_are_the_scores_and_gradients_flow(victims, kind):
    model, data = victims(kind)
    batch = model.queries(np.arange(24), joined(data.train, data.validation))
    e = model.embed(batch)
    ((name, part),) = e.inputs.items()
    assert name == ("tokens" if "tokens" in kind else "texts")
    assert part.shape[:2] == batch.histories.shape
    with torch.no_grad():
        np.testing.assert_array_equal(model.score_from(batch, e.plus(e.zero())).numpy(), scores(model, data))
    leaf = part.detach().requires_grad_()
    (slope,) = torch.autograd.grad(model.score_from(batch, replace(e, inputs={name: leaf})).square().sum(), leaf)
    size = slope.abs().amax(-1)
    assert bool((size[e.valid[name]] > 0).all())
    if name == "tokens":
        read = e.valid[name] | (size > 0)
        assert not bool(size[~read].any())
        assert bool((e.valid[name].sum(2) > 0).all())


def test_tokens_and_texts_are_two_ways_into_one_model(victims, weights):
    by_tokens, data = victims("tokens")
    by_texts = new(weights)
    by_texts.restore(data, by_tokens.state(), Rng(0).child("fit"))
    np.testing.assert_allclose(scores(by_texts, data), scores(by_tokens, data), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rewritten_item_is_encoded_alone_and_the_original_stays(victims, kind, monkeypatch):
    model, data = victims(kind)
    before, read, encode = scores(model, data), [], Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, texts: read.extend(texts) or encode(self, texts))
    other = Item("The love of a wizard at night, again and again, in the galaxy", 1999, ("genre 1",))
    rewritten = model.rewritten({5: other})
    assert read == [item_text(other)]
    assert changed({"texts": model.texts}, {"texts": rewritten.texts}) == {"texts"}
    assert (model.texts != rewritten.texts).any(1).nonzero().flatten().tolist() == [5]
    after = scores(rewritten, data)
    assert (after[:, 5] != before[:, 5]).all()
    reads = [5 in joined(data.train, data.validation).row(user) for user in range(24)]
    others = np.delete(np.abs(after - before) > 1e-4, 5, axis=1).any(1)
    assert others.tolist() == reads, "a user's other scores follow the text of item 5 if it is in the history"
    np.testing.assert_array_equal(scores(model, data), before)
    # The scores equal those of a model that is restored with the rewritten catalogue.
    items = [*data.catalogue.items[:5], other, *data.catalogue.items[6:]]
    expected = TextBert(model.config)
    expected.restore(replace(data, catalogue=Catalogue(data.catalogue.ids, tuple(items))), model.state(), Rng(0))
    expected.eval()
    np.testing.assert_allclose(after, scores(expected, data), rtol=1e-4, atol=1e-4)
    rewritten.eval()
    np.testing.assert_allclose(scores(rewritten, data), after, rtol=1e-5, atol=1e-5)
    back = rewritten.rewritten({5: data.catalogue.items[5]})
    np.testing.assert_allclose(scores(back, data), before, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(scores(model.rewritten({}), data), before)


@pytest.mark.parametrize("kind", ["transformer", "tuned"])
def test_a_text_that_was_read_before_is_not_read_again(victims, kind, monkeypatch):
    model, _ = victims(kind)
    one, two, three = (Item(f"The wedding of robot {number}", 1999, ("genre 1",)) for number in range(3))
    vectors = model.encoder.encode([item_text(item) for item in (one, two, three)])
    read, encode = [], Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, texts: read.append(list(texts)) or encode(self, texts))
    first = model.rewritten({5: one})
    again = model.rewritten({5: one})
    elsewhere = first.rewritten({7: one, 8: two, 9: two})
    mixed = model.rewritten({5: two, 6: three, 7: one})
    assert read == [[item_text(item)] for item in (one, two, three)]
    assert torch.equal(again.texts, first.texts)
    torch.testing.assert_close(elsewhere.texts[[5, 7, 8, 9]], vectors[[0, 0, 1, 1]])
    torch.testing.assert_close(mixed.texts[[5, 6, 7]], vectors[[1, 2, 0]])


@pytest.mark.parametrize("kind", KINDS)
def test_lambda_one_is_bit_equal_even_when_the_inner_attack_runs(weights, kind):
    data, _ = crowd(n_users=24)
    defense = AdversarialTraining.make(**{"lambda": 1.0, "epsilon": 0.3, "shortcut": False})
    model, _ = fitted(new(weights, kind), data)
    assert same_state(model, fitted(new(weights, kind), data, defense)[0])
    half = AdversarialTraining.make(**{"lambda": 0.5, "epsilon": 0.3})
    assert not same_state(model, fitted(new(weights, kind), data, half)[0])


def two_tastes(n_users=40):
    """Returns data with two tastes: titles about space, and titles about love.

    Each user likes one taste. Each title has three words of one taste. No history holds items 0 and 1.
    """
    words = [["space", "robot", "galaxy", "wizard", "genre"], ["love", "kiss", "wedding", "heat", "night"]]
    generator = np.random.default_rng(0)
    items = tuple(Item(" ".join(generator.permutation(words[item % 2])[:3])) for item in range(42))
    rows = [generator.permutation(np.arange(2 + user % 2, 42, 2))[:10] for user in range(n_users)]
    parts = [[row[:-1] for row in rows], [row[-1:] for row in rows]]
    train, validation = (Interactions.from_rows(part, 42) for part in parts)
    return TrainData(train, validation, Catalogue(tuple(map(str, range(42))), items))


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_without_interactions_is_ranked_by_its_text(weights, kind):
    data = two_tastes()
    model, _ = fitted(new(weights, kind, epochs=8, learning_rate=3e-3), data)
    ranking, users = scores(model, data, 40), np.arange(40)
    # The unused item of a user's taste is compared with the other unused item, and with items of the other taste.
    fits, other = ranking[users, users % 2], ranking[users, 1 - users % 2]
    wrong = np.array([np.median(ranking[user, 3 - user % 2 :: 2]) for user in users])
    assert (fits > other).mean() >= 0.9
    assert (fits > wrong).mean() >= 0.9


def test_an_item_without_interactions_is_no_negative(weights):
    data = two_tastes()
    model = new(weights)
    model.initialise(data, Rng(0))
    batch = next(iter(model.batches(data, Rng(0))))
    model.drop.p = 0.0
    for block in model.network:
        block.eval()
    before = model.loss_from(batch, model.embed(batch)).value
    model.texts[:2] = torch.randn(2, 32)
    assert torch.equal(model.loss_from(batch, model.embed(batch)).value, before)
    model.texts[2:4] = torch.randn(2, 32)
    assert not torch.equal(model.loss_from(batch, model.embed(batch)).value, before)
    assert np.isfinite(scores(model.eval(), data)).all()


def test_padding_next_to_a_longer_title_is_never_perturbed(victims):
    model, data = victims("tokens")
    rewritten = model.rewritten({5: Item("zebra " * 9)})
    texts = [item_text(Item("zebra " * 9) if row == 5 else item) for row, item in enumerate(data.catalogue.items)]
    tokenizer = model.encoder.tokenizer
    sizes = torch.tensor([len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts])
    assert int(sizes.argmax()) == 5
    batch = rewritten.queries(np.arange(24), joined(data.train, data.validation))
    assert bool((batch.histories == 5).any())
    valid, real = rewritten.embed(batch).valid["tokens"], batch.histories < data.n_items
    place = torch.arange(valid.shape[2])
    words = (place >= 1) & (place <= sizes[batch.histories.clamp_max(data.n_items - 1)].unsqueeze(-1))
    assert torch.equal(valid, words & real.unsqueeze(-1))
