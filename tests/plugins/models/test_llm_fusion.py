"""Tests the fusion of the retriever and PMI in ``llm`` by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from robench.api import Catalogue, Item, Rng
from robench.api.data import joined
from robench.api.usage import record_usage
from robench.testing.worlds import crowd, fitted, measured_victim
from robench_plugins.models.ease import Ease
from robench_plugins.models.llm.fusion import FALLBACK, WEIGHTS, standard_scores
from robench_plugins.models.llm.model import Llm
from robench_plugins.models.llm.prompt import DEFAULT
from robench_plugins.models.llm.scoring import OTHERS, UNUSABLE

pytest.importorskip("transformers")
USERS = np.arange(6)
WEIGHT = 0.75


@pytest.fixture(scope="module")
def world():
    """Returns the data, the history at test time, and the held-out items.

    Every second title has its article at the end, and every third item has no year.
    """
    data, test = crowd(n_users=24)
    items = [Item(f"Film {i}, The" if i % 2 else f"Tale {i}", None if i % 3 else 1980 + i) for i in range(data.n_items)]
    data = replace(data, catalogue=Catalogue(data.catalogue.ids, tuple(items)))
    return data, joined(data.train, data.validation), test


def _fit(data, weights, **settings: Any) -> Llm:
    """Returns a fitted model with few candidates and short histories."""
    small = {"weights": weights, "candidates": 8, "history_items": 4, "fusion_weight": WEIGHT}
    return fitted(Llm.make(**{**small, **settings}), data)[0]


@pytest.fixture(scope="module")
def victim(world, weights):
    """Returns a fitted model that no test changes."""
    return _fit(world[0], weights)


@pytest.fixture(scope="module")
def retrieved(world):
    """Returns the scores of the retriever."""
    return fitted(Ease.make(by_validation=False), world[0])[0].scores(USERS, world[1])


def _natural(title):
    return f"The {title.removesuffix(', The')}" if title.endswith(", The") else title


def _likelihood(decoder, text, title):
    """Returns the log-likelihood of a title after a text, summed over its tokens."""
    ids, own = decoder.ids(text, special=True), decoder.ids(f" {title}")
    log = decoder.net(input_ids=torch.tensor([ids + own]), use_cache=False).logits[0].log_softmax(1)
    return float(log[len(ids) - 1 : -1][torch.arange(len(own)), torch.tensor(own)].sum())


def _by_hand(model, catalogue, user, history, retrieved):
    """Maps each candidate of a user to its score."""
    lines = [
        f"- {_natural(item.title)}" + ("" if item.year is None else f" ({item.year})")
        for item in (catalogue.items[row] for row in history.row(user)[-4:])
    ]
    candidates = model.candidates(np.array([user]), history)[0]
    information = []
    for row in candidates:
        title = _natural(model.titles.texts[row])
        after, before = (DEFAULT.replace("{history}", text) for text in ("\n".join(lines), ""))
        information.append(_likelihood(model.decoder, after, title) - _likelihood(model.decoder, before, title))
    parts = [np.asarray(part, dtype=np.float64) for part in (retrieved[user, candidates], information)]
    z = [(part - part.mean()) / part.std() for part in parts]
    return dict(zip(candidates.tolist(), z[0] + WEIGHT * z[1], strict=True))


def test_a_score_is_the_sum_of_standard_scores_of_retriever_and_pmi(world, victim, retrieved):
    data, history, _ = world
    scores, candidates = victim.scores(USERS, history), victim.candidates(USERS, history)
    for user in USERS[:3].tolist():
        for item, value in _by_hand(victim, data.catalogue, user, history, retrieved).items():
            assert scores[user, item] == pytest.approx(value, abs=1e-3)
        others = np.argsort(-retrieved[user], kind="stable")
        others = others[~np.isin(others, candidates[user])]
        assert (np.diff(scores[user, others]) < 0).all()
        assert scores[user, others].max() <= OTHERS < UNUSABLE < scores[user, candidates[user]].min()
    assert np.isfinite(scores).all()


def test_with_weight_0_the_scores_are_those_of_the_retriever_and_the_decoder_is_not_asked(world, weights, retrieved):
    data, history, _ = world
    model = _fit(data, weights, fusion_weight=0)
    with record_usage() as usage:
        np.testing.assert_array_equal(model.scores(USERS, history), retrieved)
        np.testing.assert_array_equal(model.rewritten({3: Item("Other")}).scores(USERS, history), retrieved)
    assert usage.amounts() == {}


# The sums of two batches are rounded differently, by up to 2e-5 on some processors.
def test_neither_the_order_of_candidates_nor_other_users_change_a_score(world, victim):
    _, history, _ = world
    batch = victim.queries(USERS, history)
    e, scorer, scores = victim.embed(batch), victim._scorer(), victim.scores(USERS, history)
    for user in USERS:
        np.testing.assert_allclose(victim.scores(USERS[user : user + 1], history)[0], scores[user], atol=1e-4)
    (prompt, *_), candidates = e.context["prompts"], e.context["candidates"][0]
    own = e.context["retrieved"][0, candidates]
    z = standard_scores(own, own)
    order = np.random.default_rng(0).permutation(len(candidates))
    vectors = e.inputs["tokens"][0, : len(prompt.ids)]
    mixed = scorer.scores(prompt, vectors, candidates[order].tolist(), z[torch.from_numpy(order)])
    np.testing.assert_allclose(mixed.numpy(), scores[0, candidates[order]], atol=1e-4)


def test_a_new_title_changes_only_the_score_of_its_item(world, victim, retrieved):
    data, history, _ = world
    before = victim.scores(USERS, history)
    item = next(i for i in victim.candidates(USERS, history)[0].tolist() if all(i not in history.row(u) for u in USERS))
    other = victim.rewritten({item: Item("Quite another thing, A")})
    scores = other.scores(USERS, history)
    changed = np.argwhere(scores != before)
    assert {int(row) for _, row in changed} == {item}
    reference = list(_by_hand(victim, data.catalogue, 0, history, retrieved))
    assert item in reference
    # The moments are those of the genuine titles.
    information = []
    for row in reference:
        lines = [
            f"- {_natural(i.title)}" + ("" if i.year is None else f" ({i.year})")
            for i in (data.catalogue.items[r] for r in history.row(0)[-4:])
        ]
        texts = [DEFAULT.replace("{history}", text) for text in ("\n".join(lines), "")]
        title = _natural(data.catalogue.items[row].title)
        information.append(np.subtract(*(_likelihood(victim.decoder, text, title) for text in texts)))
    new = np.subtract(*(_likelihood(victim.decoder, text, "A Quite another thing") for text in texts))
    own = retrieved[0, reference].astype(np.float64)
    expected = (own - own.mean())[reference.index(item)] / own.std()
    expected += WEIGHT * (new - np.mean(information)) / np.std(information)
    assert scores[0, item] == pytest.approx(expected, abs=1e-3)


def test_a_title_without_tokens_ranks_last_and_others_keep_their_scores(world, victim):
    _, history, _ = world
    before, candidates = victim.scores(USERS[:1], history)[0], victim.candidates(USERS[:1], history)[0]
    item = next(i for i in candidates.tolist() if i not in history.row(0))
    scores = victim.rewritten({item: Item("")}).scores(USERS[:1], history)[0]
    assert OTHERS < scores[item] <= UNUSABLE
    rest = np.arange(len(scores)) != item
    np.testing.assert_array_equal(scores[rest], before[rest])


def test_the_gradient_goes_through_pmi_and_its_moments(world, precise):
    data, _, test = world
    model = _fit(data, precise).double()
    oracle = next(measured_victim(model, data, test).surface("embedding").oracles(k=5))
    direction, h = oracle.normal(Rng(1)), 1e-5
    gradient = oracle.gradient(oracle.zero()).gradient["tokens"]
    slope = float((gradient * direction["tokens"]).sum())
    ends = [float(oracle.evaluate({"tokens": sign * h * direction["tokens"]}).loss.double().sum()) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slope, rel=1e-3)
    assert bool((gradient.abs().amax(-1)[oracle.clean.valid["tokens"]] > 0).all())


def test_years_are_read_and_never_perturbed(world, victim):
    _, history, _ = world
    e = victim.embed(victim.queries(USERS, history))
    ids = victim.decoder.ids
    for user, prompt in enumerate(e.context["prompts"]):
        items = history.row(user)[-4:].tolist()
        own = [token for token, mine in zip(prompt.ids, prompt.own, strict=True) if mine]
        assert own == [token for item in items for token in victim.titles.tokens_of(item)]
        text = victim.decoder.tokenizer.decode(prompt.ids)
        assert all((f"({1980 + item})" in text) == (item % 3 == 0) for item in items)
        assert e.valid["tokens"][user].sum() == len(own) < len(prompt.ids)
    assert victim.titles.tokens_of(1) == ids(" The Film 1")


def test_validation_chooses_the_weight_and_asks_only_for_users_with_a_reachable_item(world, weights):
    data, history, _ = world
    model = Llm.make(weights=weights, candidates=12, history_items=4)
    with record_usage() as usage:
        model, report = fitted(model, data)
    candidates = model.candidates(np.arange(24), data.train)
    reachable = (candidates == data.validation.items[:, None]).any(1).sum()
    asked = sum(weight > 0 for weight in WEIGHTS)
    assert usage.amounts()["prompts"] == asked * reachable < asked * 24
    weight = report.achieved["chosen_fusion_weight"]
    assert weight in WEIGHTS
    assert float(model.fusion_weight) == pytest.approx(weight)
    values = [fitted(Llm.make(**{**model.config.model_dump(), "fusion_weight": w}), data)[1] for w in WEIGHTS]
    values = [one.validation_ndcg for one in values]
    assert report.validation_ndcg == max(values)
    assert weight == WEIGHTS[values.index(max(values))]
    again = Llm.make(weights=weights, candidates=12, history_items=4)
    again.restore(data, model.state(), Rng(0).child("fit"))
    np.testing.assert_array_equal(again.eval().scores(USERS, history), model.scores(USERS, history))


def test_without_validation_items_the_weight_is_the_fallback(world, weights):
    data, _, _ = world
    model = Llm.make(weights=weights)
    model.initialise(data, Rng(0))
    assert float(model.fusion_weight) == pytest.approx(FALLBACK)


def test_standard_scores_leave_out_what_is_not_finite_or_only_rounding():
    reference = torch.tensor([1.0, 3.0, torch.nan, torch.inf])
    assert standard_scores(torch.tensor([5.0, torch.nan]), reference)[0] == 3.0
    assert not standard_scores(torch.tensor([7.0]), torch.tensor([2.0, 2.0 + 1e-6])).any()
    assert standard_scores(torch.tensor([7.0]), torch.tensor([torch.nan])).isnan().all()
    assert standard_scores(torch.zeros(0), torch.zeros(0)).shape == (0,)
