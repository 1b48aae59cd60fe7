"""Tests attacks on titles of ``llm`` with ``score: fusion``."""

import math

import numpy as np
import pytest
import torch
from tests.plugins.models.test_llm_titles import K, _change, _oracle, _scores
from tests.tiny_decoder import tiny_decoder

from robench.api import Item, Tokens
from robench.api.data import joined
from robench.engine.measure import MeasuredVictim
from robench.testing.text_world import readers
from robench.testing.worlds import fitted
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.random_rewrite import RandomRewrite
from robench_plugins.attacks.text.word_flips import WordFlips
from robench_plugins.models.llm.model import Llm

pytest.importorskip("transformers")
WEIGHT = 2.0


@pytest.fixture(scope="module")
def world():
    return readers(16)


@pytest.fixture(scope="module")
def weights(world, tmp_path_factory):
    """Returns the folder of a decoder with a token for every word."""
    words = sorted({word for item in world[0].catalogue.items for word in item.title.split()})
    return str(tiny_decoder(tmp_path_factory.mktemp("gpt2"), "gpt2", words=words))


def _victim(world, weights, **settings):
    """Returns a victim with a decoder in double precision."""
    data, test = world
    small = {"weights": weights, "candidates": 6, "history_items": 2, "validation_users": 2}
    model, _ = fitted(Llm.make(**small, **settings), data)
    users = np.arange(data.n_real_users)
    return MeasuredVictim(model.double(), joined(data.train, data.validation), test, users, 0, data.catalogue)


@pytest.fixture(scope="module")
def fusion(world, weights):
    return _victim(world, weights, fusion_weight=WEIGHT)


@pytest.fixture(scope="module")
def likelihood(world, weights):
    return _victim(world, weights, score="mean-likelihood")


@pytest.fixture(scope="module")
def targets(fusion):
    """Returns the three most frequent candidates."""
    counts = np.bincount(fusion.model.candidates(fusion.users, fusion.history).ravel(), minlength=48)
    return np.sort(np.argsort(-counts, kind="stable")[:3])


def test_slopes_are_the_differences_of_an_items_own_loss(fusion, targets):
    oracle, model = _oracle(fusion, targets), fusion.model
    slopes = oracle.slopes(oracle.titles())
    assert not slopes.length_normalised
    tokens = Tokens(slopes.ids, slopes.word >= 0, slopes.word)
    parts = [
        slopes.table[slopes.ids],
        torch.nn.functional.one_hot(slopes.ids, len(slopes.table)).double() * tokens.mask.unsqueeze(-1),
    ]
    generator = torch.Generator().manual_seed(0)

    def loss_at(at, moved):
        soft = model.softened(targets.tolist(), tokens, *moved)
        total = sum(oracle.goal.loss(_scores(fusion, soft, q), q)[at] for q in oracle.reader.chunks)
        return float(total / sum(oracle.goal.users(q)[at] for q in oracle.reader.chunks))

    for which, slope in enumerate((slopes.gradient[0], slopes.choice[0])):
        step = torch.randn(slope.shape, generator=generator, dtype=torch.float64) * tokens.mask[0].unsqueeze(-1) * 1e-5
        ends = []
        for sign in (1, -1):
            moved = [part.clone() for part in parts]
            moved[which][0] += sign * step
            ends.append(loss_at(0, moved))
        assert float((slope * step).sum()) == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-3)
        assert abs(ends[0] - ends[1]) > 1e-8


def test_flips_and_deletions_of_the_last_word_change_scores_as_estimated(fusion, targets):
    oracle = _oracle(fusion, targets)
    flips, compared = WordFlips.at(oracle, oracle.titles()), 0
    assert not flips.tails.any()
    for at, title in enumerate(oracle.titles()):
        words = title.split()
        estimates = flips.estimates(at, title)[-1]
        for number in range(0, len(flips.words), 15):
            change = _change(fusion, oracle, at, " ".join([*words[:-1], flips.words[number]]))
            assert float(estimates[number]) == pytest.approx(change, rel=1e-3, abs=1e-7)
        if len(words) > 1:
            tokens = dict(flips._tokens_by_position(at, title))[len(words) - 1]
            estimate = float(flips._likelihood_of_deletion(flips.slopes.choice[at], at, tokens))
            assert estimate == pytest.approx(_change(fusion, oracle, at, " ".join(words[:-1])), rel=1e-3, abs=1e-7)
            compared += 1
    assert compared


def _first(victim, item, title):
    """Returns the share of users whose first candidate is a retitled item."""
    model, candidates = victim.model, victim.model.candidates(victim.users, victim.history)
    users = np.flatnonzero((candidates == item).any(1))
    assert len(users) > 3
    scores = model.rewritten({int(item): Item(title)}).scores(users, victim.history)
    return float((scores.argmax(1) == item).mean())


def test_a_title_that_is_likely_after_every_prompt_wins_no_more(fusion, likelihood, targets):
    words = sorted({word for item in likelihood.catalogue.items for word in item.title.split()})
    item = int(targets[0])
    shares = {word: _first(likelihood, item, f"{word} {word} {word}") for word in words[::3]}
    best = max(shares, key=shares.get)
    assert shares[best] == 1.0
    assert _first(fusion, item, f"{best} {best} {best}") < 0.5


def test_hotflip_reaches_more_users_than_random_words(fusion, targets):
    def reached(attacked):
        ranks = attacked.arrays["target_ranks"]
        return float(((ranks > 0) & (ranks <= K)).sum() / (ranks > 0).sum())

    clean = reached(fusion.clean(targets))
    flips = fusion.attacked(HotFlip.make(k=K, verify=4), 1.0, "hotflip", targets)
    looks = math.ceil(flips.achieved["queries"] / len(fusion.users))
    random = fusion.attacked(RandomRewrite.make(k=K, draws=looks), 1.0, "random", targets)
    assert reached(flips) > max(clean, reached(random))


def test_a_decoder_that_does_not_read_the_history_gives_titles_nothing_to_gain(world, weights, targets):
    victims = [_victim(world, weights, **s) for s in ({"score": "mean-likelihood"}, {"fusion_weight": WEIGHT})]
    for victim in victims:
        victim.model.token_table()  # moves the network to double precision too
        with torch.no_grad():
            for name, part in victim.model.decoder.net.named_parameters():
                if ".attn.c_proj." in name or ".wpe." in name:  # the decoder then reads only the previous token
                    part.zero_()
        victim.model.likelihoods.clear()
    oracles = [_oracle(victim, targets) for victim in victims]
    for oracle, gains in zip(oracles, (True, False), strict=True):
        titles = oracle.titles()
        slopes = oracle.slopes(titles)
        assert bool(slopes.choice.any()) == gains
        loss = oracle.evaluate(titles).loss
        assert bool((oracle.evaluate([f"{title} {titles[0]}" for title in titles]).loss != loss).any()) == gains
