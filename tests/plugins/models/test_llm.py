import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from robench.api.data import Catalogue, Interactions, Item, TrainData, joined
from robench.api.errors import DataError
from robench.api.models.step import Step
from robench.api.rng import Rng
from robench.api.usage import record_usage
from robench.testing.worlds import crowd, fitted, measured_victim, same_state
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.models.ease import Ease
from robench_plugins.models.llm import likelihoods
from robench_plugins.models.llm.likelihoods import TitleLikelihoods
from robench_plugins.models.llm.model import Llm
from robench_plugins.models.llm.prompt import DEFAULT, load_template
from robench_plugins.models.llm.scoring import OTHERS, UNUSABLE

pytest.importorskip("transformers")
USERS = np.arange(9)


@pytest.fixture(scope="module")
def world():
    """Returns the data, the history at test time, and the held-out items."""
    data, test = crowd(n_users=24)
    return data, joined(data.train, data.validation), test


def _fit(data, weights, **settings: Any) -> Llm:
    """Returns a fitted model with few candidates and short histories."""
    small = {
        "weights": weights, "score": "mean-likelihood", "candidates": 8, "history_items": 4, "validation_users": 4,
    }  # fmt: skip
    return fitted(Llm.make(**{**small, **settings}), data)[0]


@pytest.fixture(scope="module")
def victim(world, weights):
    """Returns a fitted model that no test changes."""
    return _fit(world[0], weights)


def _likelihoods_by_hand(model, user, history):
    """Maps each candidate to the mean log-likelihood of its title's tokens.

    The whole text of each candidate passes through the network separately.
    """
    items = history.row(user)[-model.config.history_items :]
    template, d = load_template(model.config.prompt), model.decoder
    before, after = template.split("{history}")
    ids = d.ids(before, special=True)
    for number, item in enumerate(items):
        ids += d.ids("\n-" if number else "-") + d.ids(f" {model.titles.texts[item]}")
    ids += d.ids(after, special=True)
    likelihoods_of = {}
    for item in model.candidates(np.array([user]), history)[0].tolist():
        title = d.ids(f" {model.titles.texts[item]}")
        logits = d.net(input_ids=torch.tensor([ids + title]), use_cache=False).logits[0]
        log = logits.log_softmax(1)[len(ids) - 1 : -1]
        likelihoods_of[item] = float(log[torch.arange(len(title)), torch.tensor(title)].mean())
    return likelihoods_of


def test_candidates_have_their_likelihood_and_all_others_the_retrievers_order(world, victim):
    data, history, _ = world
    retriever = fitted(Ease.make(by_validation=False), data)[0].scores(USERS, history)
    scores, candidates = victim.scores(USERS, history), victim.candidates(USERS, history)
    for user in USERS.tolist():
        expected = _likelihoods_by_hand(victim, user, history)
        for item, value in expected.items():
            assert scores[user, item] == pytest.approx(value, abs=1e-4)
        order = np.argsort(-retriever[user], kind="stable")
        unknown = order[~np.isin(order, history.row(user))]
        np.testing.assert_array_equal(candidates[user], unknown[:8])
        assert scores[user, candidates[user]].min() > UNUSABLE
        others = order[~np.isin(order, candidates[user])]
        assert (np.diff(scores[user, others]) < 0).all()
        assert scores[user, others].max() <= OTHERS


@pytest.mark.parametrize("name", ["item-knn", "user-knn"])
def test_other_retrievers_find_other_candidates(world, weights, victim, name):
    data, history, _ = world
    model = _fit(data, weights, retriever=name, candidates=40)
    candidates = model.candidates(USERS, history)
    assert (candidates[:, -1] == -1).all()  # every user has fewer than 40 unknown items
    assert sorted(candidates[0][candidates[0] >= 0]) == sorted(set(range(40)) - set(history.row(0)))
    assert not np.array_equal(candidates[:, :8], victim.candidates(USERS, history))
    assert np.isfinite(model.scores(USERS, history)).all()
    assert np.isfinite(model.newcomers(data.train)).all()


def test_nothing_trains_without_lora_and_nothing_of_the_weights_is_kept(world, victim):
    assert list(victim.batches(world[0], Rng(0))) == []
    assert set(victim.state()) == {"home", "item_counts"}


def test_the_slope_by_titles_tokens_is_the_true_one(world, precise):
    data, _, test = world
    model = _fit(data, precise).double()
    oracle = next(measured_victim(model, data, test).surface("embedding").oracles(k=5))
    direction, h = oracle.normal(Rng(1)), 1e-6
    gradient = oracle.gradient(oracle.zero()).gradient
    slope = float((gradient["tokens"] * direction["tokens"]).sum())
    ends = [float(oracle.evaluate({"tokens": sign * h * direction["tokens"]}).loss.double().sum()) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slope, rel=1e-4)
    size = gradient["tokens"].abs().amax(-1)
    assert bool((size[oracle.clean.valid["tokens"]] > 0).all())
    assert not bool(size[~oracle.clean.valid["tokens"]].any())


def test_only_titles_of_the_history_may_be_perturbed(world, victim):
    _, history, _ = world
    batch = victim.queries(USERS, history)
    e = victim.embed(batch)
    for number, prompt in enumerate(e.context["prompts"]):
        titles = [victim.titles.tokens_of(item) for item in history.row(number)[-4:]]
        assert e.valid["tokens"][number].sum() == sum(len(title) for title in titles)
        own = [token for token, mine in zip(prompt.ids, prompt.own, strict=True) if mine]
        assert own == [token for title in titles for token in title]
    moved = e.plus({"tokens": torch.ones_like(e.inputs["tokens"])})
    with torch.no_grad():
        clean, attacked = victim.score_from(batch, e), victim.score_from(batch, moved)
    changed = (clean != attacked).numpy()
    candidates = victim.candidates(USERS, history)
    assert np.take_along_axis(changed, candidates, 1).all()
    np.put_along_axis(changed, candidates, False, axis=1)
    assert not changed.any()


def test_with_and_without_a_gradient_alone_and_together_the_scores_are_the_same(world, victim):
    _, history, _ = world
    batch = victim.queries(USERS, history)
    e = victim.embed(batch)
    leaf = e.inputs["tokens"].detach().requires_grad_()
    tracked = victim.score_from(batch, replace(e, inputs={"tokens": leaf}))
    assert tracked.requires_grad
    plain = victim.scores(USERS, history)
    np.testing.assert_array_equal(plain, tracked.detach().numpy())
    for user in USERS:
        np.testing.assert_array_equal(victim.scores(np.array([user]), history)[0], plain[user])


def test_another_title_changes_only_the_users_whose_prompts_hold_it(world, victim):
    _, history, _ = world
    before = victim.scores(USERS, history)
    item = int(victim.candidates(USERS, history)[0, 3])
    other = victim.rewritten({item: Item("Quite another thing")})
    scores = other.scores(USERS, history)
    np.testing.assert_array_equal(other.candidates(USERS, history), victim.candidates(USERS, history))
    hits = 0
    for user in USERS.tolist():
        candidates = victim.candidates(USERS, history)[user]
        if item in history.row(user)[-4:]:
            assert (scores[user, candidates] != before[user, candidates]).all()
        elif item in candidates:
            hits += 1
            assert scores[user, item] != before[user, item]
            others = np.arange(len(scores[user])) != item
            np.testing.assert_array_equal(scores[user, others], before[user, others])
            assert scores[user, item] == pytest.approx(_likelihoods_by_hand(other, user, history)[item], abs=1e-4)
        else:
            np.testing.assert_array_equal(scores[user], before[user])
    assert hits
    np.testing.assert_array_equal(victim.scores(USERS, history), before)
    np.testing.assert_array_equal(other.rewritten({}).scores(USERS, history), scores)


def test_what_is_remembered_changes_no_number_and_saves_looks(world, weights, monkeypatch):
    data, history, _ = world
    first, second = _fit(data, weights), _fit(data, weights)
    scores = first.scores(USERS, history)
    other = first.rewritten({int(first.candidates(USERS, history)[0, 0]): Item("Other")})
    monkeypatch.setattr(second.decoder, "log_likelihoods", _counted(second.decoder, calls := []))
    alone = second.rewritten({row: Item(other.titles.texts[row]) for row in range(data.n_items)}).scores(USERS, history)
    np.testing.assert_array_equal(other.scores(USERS, history), alone)
    count = len(calls)
    np.testing.assert_array_equal(second.scores(USERS, history), scores)
    assert 0 < len(calls) - count < len(USERS)  # only users with the changed title in their prompts are scored again
    count = len(calls)
    np.testing.assert_array_equal(second.scores(USERS, history), scores)
    assert len(calls) == count
    second.likelihoods.values.clear()
    np.testing.assert_array_equal(second.scores(USERS, history), scores)


def test_a_rewritten_candidate_costs_its_own_tokens_only(world, weights):
    data, history, _ = world
    model, user = _fit(data, weights), np.array([0])
    model.scores(user, history)
    item = next(i for i in model.candidates(user, history)[0].tolist() if i not in history.row(0))
    (prompt,) = model.embed(model.queries(user, history)).context["prompts"]
    spent = []
    for title in ("One", "Another", "One"):
        with record_usage() as usage:
            model.rewritten({item: Item(title)}).scores(user, history)
        spent.append(usage.amounts().get("tokens", 0))
    assert spent == [len(prompt.ids) + len("One"), len("Another"), 0]  # each byte is a token, including the space


def test_old_prompts_are_dropped_from_the_cache(world, weights, monkeypatch):
    data, history, _ = world
    model = _fit(data, weights)
    before = model.scores(USERS, history)
    other = model.rewritten({int(i): Item("Other") for i in model.candidates(USERS, history)[:, 0]})
    scores = other.scores(USERS, history)
    assert len(other.likelihoods.prefixes) == len(USERS)
    other.likelihoods.clear()
    monkeypatch.setattr(likelihoods, "PREFIX_BYTES", 1)
    np.testing.assert_array_equal(other.scores(USERS, history), scores)
    assert len(other.likelihoods.prefixes) == 1
    np.testing.assert_array_equal(model.scores(USERS, history), before)


def _counted(decoder, calls):
    genuine = decoder.log_likelihoods

    def counted(prompt, titles):
        calls.append(len(titles))
        return genuine(prompt, titles)

    return counted


def test_a_perturbed_prompt_is_cached_to_the_bit(world, weights, monkeypatch):
    data, history, _ = world
    model = _fit(data, weights)
    clean = model.scores(USERS, history)
    batch = model.queries(USERS, history)
    e = model.embed(batch)
    monkeypatch.setattr(model.decoder, "log_likelihoods", _counted(model.decoder, calls := []))

    def look(delta):
        with torch.no_grad():
            return model.score_from(batch, e.plus({"tokens": torch.full_like(e.inputs["tokens"], delta)}))

    first, count = look(0.1), len(calls)
    assert count == len(USERS)
    assert torch.equal(look(0.1), first)
    assert len(calls) == count
    other = look(float(np.nextafter(np.float32(0.1), np.float32(1))))
    assert len(calls) == 2 * count
    assert not torch.equal(other, first)
    np.testing.assert_array_equal(model.scores(USERS, history), clean)


def test_unusable_answers_are_counted_and_stand_at_the_end(world, weights):
    data, history, _ = world
    model = _fit(data, weights, max_tokens=400)
    candidates = model.candidates(np.array([0]), history)[0]
    known = int(history.row(0)[-1])
    texts = {int(candidates[0]): "", int(candidates[2]): "x" * 100, int(candidates[3]): "z" * 99, known: "y" * 300}
    other = model.rewritten({row: Item(text) for row, text in texts.items()})
    with record_usage() as usage:
        scores = other.scores(np.array([0]), history)[0]
    found = usage.amounts()
    assert found.pop("tokens") > 0
    assert found == {"prompts": 1, "cut": 1, "answers": 8, "empty": 1, "too_long": 1}
    order = candidates[np.argsort(-scores[candidates], kind="stable")]
    assert order[-2:].tolist() == [candidates[0], candidates[2]]  # the space and 99 letters z just fit into 100 tokens
    assert scores.argmax() in candidates
    assert scores[order[-1]] > OTHERS

    def broken(prompt, titles):
        found = torch.full((len(titles),), -2.0)
        found[1] = math.nan
        return found

    model.likelihoods.values.clear()
    model.decoder.log_likelihoods = broken
    with record_usage() as usage:
        scores = model.scores(np.array([0]), history)[0]
    assert np.isfinite(scores).all()
    assert scores[candidates].argmin() == 1
    assert usage.amounts()["not_finite"] == 1


def test_an_item_without_interactions_is_no_candidate(world, weights):
    data, history, _ = world
    wide = data.n_items + 1
    rows = [Interactions(x.indptr, x.items, x.times, wide) for x in (data.train, data.validation, history)]
    titles = Catalogue((*data.catalogue.ids, "new"), (*data.catalogue.items, Item("New")))
    model = _fit(TrainData(rows[0], rows[1], titles), weights, candidates=40)
    assert data.n_items not in model.candidates(USERS, rows[2])


def test_lora_lowers_the_loss_of_the_next_title(world, weights):
    data, _, _ = world
    model = Llm.make(
        weights=weights, lora_rank=4, learning_rate=0.01, epochs=4, train_rows=64, history_items=4, validation_users=2
    )
    start = Llm.make(weights=weights, lora_rank=4, train_rows=64, history_items=4)
    start.initialise(data, Rng(0).child("fit"))
    fitted(model, data)
    batches = list(start.batches(data, Rng(9)))
    assert sum(len(batch.users) for batch in batches) == 64
    losses = [
        float(torch.cat([part.loss_from(batch, part.embed(batch)).value for batch in batches]).mean().detach())
        for part in (start, model)
    ]
    assert losses[1] < losses[0] - 0.3
    assert not same_state(start, model)


def test_training_empties_the_cache_of_likelihoods(world, weights, victim):
    data, history, _ = world
    model = _fit(data, weights, lora_rank=2, train_rows=8)
    before = model.scores(USERS, history)
    other = {int(i): Item("Other") for i in np.unique(model.candidates(USERS, history))}
    model.rewritten(other).scores(USERS, history)
    assert model.likelihoods.prefixes
    with torch.no_grad():
        for part in model.adapters.values():
            part.add_(0.5)
    model.train().eval()
    after = model.scores(USERS, history)
    assert (np.abs(after - before).max(1) > 1e-3).all()
    rewritten = model.rewritten(other).scores(USERS, history)
    model.likelihoods = TitleLikelihoods(model.decoder)
    np.testing.assert_array_equal(model.scores(USERS, history), after)
    np.testing.assert_array_equal(model.rewritten(other).scores(USERS, history), rewritten)
    victim.scores(USERS, history)
    assert victim.train().eval().likelihoods.values, "without LoRA nothing is trained"


def test_the_identity_holds_the_weights_and_the_template(tmp_path, weights, precise):
    file = tmp_path / "mine.txt"
    file.write_text("I saw {history} and")
    prompts = (None, "I saw {history} and then", str(file))
    digests = [Llm.make(weights=folder, prompt=prompt).outside() for folder in (weights, precise) for prompt in prompts]
    assert len(set(digests)) == 6
    file.write_text("I saw {history} or")
    assert Llm.make(weights=precise, prompt=str(file)).outside() not in digests
    file.write_text(DEFAULT)
    assert Llm.make(weights=precise, prompt=str(file)).outside() == digests[3]


def test_lambda_one_is_bit_equal_even_when_the_inner_attack_runs(world, weights):
    data, _, _ = world
    settings = {"lora_rank": 2, "train_rows": 16, "epochs": 2, "learning_rate": 0.01, "candidates": 4}
    defense = AdversarialTraining.make(**{"lambda": 1.0, "epsilon": 0.3, "shortcut": False})
    models = [Llm.make(weights=weights, validation_users=2, history_items=3, **settings) for _ in range(3)]
    fitted(models[0], data)
    fitted(models[1], data, defense)
    assert same_state(models[0], models[1])
    fitted(models[2], data, AdversarialTraining.make(**{"lambda": 0.5, "epsilon": 0.3}))
    assert not same_state(models[0], models[2])


def test_a_training_step_gives_its_slope_by_the_inputs(world, weights):
    data, _, _ = world
    model = Llm.make(weights=weights, lora_rank=2, history_items=3)
    model.initialise(data, Rng(0))
    model.train()
    step = Step(model, next(model.batches(data, Rng(0))), 0, 0.0, Rng(0))
    e = step.embed()
    gradient = step.accumulate(step.losses(e).value.mean(), e)["tokens"]
    assert bool((gradient.abs().amax(-1)[e.valid["tokens"]] > 0).all())


def test_prompts_of_ones_own(tmp_path, world, weights):
    data, history, _ = world
    file = tmp_path / "mine.txt"
    file.write_text("{profile}I saw\n{history}\nand then\n")
    assert load_template(str(file)) == "{profile}I saw\n{history}\nand then"
    assert load_template(None) == DEFAULT
    mine, theirs = _fit(data, weights, prompt=str(file)), _fit(data, weights, prompt=file.read_text())
    np.testing.assert_array_equal(mine.scores(USERS, history), theirs.scores(USERS, history))
    for wrong in ("Guess next:\nplease", "{histroy}", "{history} {history}", "{profile}{profile}{history}"):
        with pytest.raises(DataError, match=r"\{history\} once"):
            load_template(wrong)
    for wrong in ("{history} {other}", "{history}{}"):
        with pytest.raises(DataError, match=r"a prompt holds \{history\}.*, and no \{(other)?\}") as told:
            load_template(wrong)
        assert "\n" not in str(told.value)
    assert load_template('{"seen": {history}, "next":') == '{"seen": {history}, "next":'
    for nowhere in (str(tmp_path / "none.txt"), "~nouser9/x"):
        with pytest.raises(DataError, match=r"no prompt: (No such file|.*home directory)"):
            load_template(nowhere)
    with pytest.raises(DataError, match="without any title"):
        _fit(data, weights, prompt="x" * 300 + "{history}", max_tokens=500)
