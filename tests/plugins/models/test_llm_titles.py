"""Tests new titles for candidates of ``llm``, and the slopes of title tokens."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tiny_decoder import tiny_decoder

from robench.api import PluginError, Tokens, Wrapped
from robench.api.data import joined
from robench.engine.attack.costs import Diagnosis
from robench.engine.measure import MeasuredVictim
from robench.engine.rank.chunk import mask_known
from robench.engine.surfaces.text.goal import HeldOutGoal, PromotionGoal
from robench.engine.surfaces.text.oracle import TitleOracle
from robench.engine.surfaces.text.reader import TextReader
from robench.engine.surfaces.text.slopes import Sloper
from robench.testing.text_world import readers
from robench.testing.worlds import fitted
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.random_rewrite import RandomRewrite
from robench_plugins.attacks.text.title_search import TitleSearch
from robench_plugins.attacks.text.word_flips import WordFlips
from robench_plugins.defenses.smoothing import SmoothedModel
from robench_plugins.models.llm.model import Llm

pytest.importorskip("transformers")
K = 3
SMALL = {"score": "mean-likelihood", "candidates": 6, "history_items": 2, "validation_users": 2}


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """Returns a victim with a decoder in double precision.

    The decoder has a token for every word.
    """
    data, test = readers(16)
    words = sorted({word for item in data.catalogue.items for word in item.title.split()})
    weights = str(tiny_decoder(tmp_path_factory.mktemp("gpt2"), "gpt2", words=words))
    model, _ = fitted(Llm.make(weights=weights, **SMALL), data)
    users = np.arange(data.n_real_users)
    return MeasuredVictim(model.double(), joined(data.train, data.validation), test, users, 0, data.catalogue)


@pytest.fixture(scope="module")
def targets(victim):
    """Returns the two most frequent candidates, and one item that is not a candidate."""
    counts = np.bincount(
        victim.model.candidates(victim.users, victim.history).ravel(), minlength=victim.history.n_items
    )
    assert counts.min() == 0
    return np.sort(np.array([*np.argsort(-counts, kind="stable")[:2], counts.argmin()]))


@pytest.fixture(scope="module")
def nobodys(victim, targets):
    """Returns the position of the one target that is not a candidate."""
    candidates = victim.model.candidates(victim.users, victim.history)
    return next(at for at, item in enumerate(targets) if not (candidates == item).any())


def _oracle(victim, targets, epsilon=1.0):
    """Returns an oracle for the promotion of the targets."""
    reader = TextReader(victim.model, victim.history, victim.chunks(), victim.catalogue, victim.draws())
    return TitleOracle(reader, PromotionGoal(targets, K), epsilon, "words")


def _scores(victim, model, chunk):
    """Returns the scores of a chunk of users, float [B, n_items]."""
    batch = model.queries(chunk.users.numpy(), victim.history)
    with torch.no_grad():
        return mask_known(model.score_from(batch, model.embed(batch)), chunk)


def test_every_word_is_a_token_with_its_position(victim, targets):
    oracle = _oracle(victim, targets)
    slopes = oracle.slopes([f"  {title.replace(' ', '   ')}" for title in oracle.titles()])
    for title, ids, places in zip(oracle.titles(), slopes.ids.tolist(), slopes.word.tolist(), strict=True):
        words = title.split()
        assert places == [*range(len(words)), *[-1] * (len(places) - len(words))]
        assert [slopes.words[token] for token in ids[: len(words)]] == words


def test_tokens_begin_at_the_first_letter_of_their_word(victim):
    tokens = victim.model.tokens(["A River", "", "River"])
    assert tokens.start.tolist() == [[0, 2], [-1, -1], [0, -1]]
    assert tokens.mask.tolist() == [[True, True], [False, False], [True, False]]


def test_slopes_are_the_differences_of_an_items_own_loss(victim, targets, nobodys):
    oracle, model = _oracle(victim, targets), victim.model
    slopes = oracle.slopes(oracle.titles())
    tokens = Tokens(slopes.ids, slopes.word >= 0, slopes.word)
    vectors = slopes.table[slopes.ids]
    choice = torch.nn.functional.one_hot(slopes.ids, len(slopes.table)).double() * tokens.mask.unsqueeze(-1)
    generator = torch.Generator().manual_seed(0)

    def loss_at(at, by_vector, by_choice):
        moved = [vectors.clone(), choice.clone()]
        moved[0][at] += by_vector
        moved[1][at] += by_choice
        soft = model.softened(targets.tolist(), tokens, *moved)
        total = sum(oracle.goal.loss(_scores(victim, soft, q), q)[at] for q in oracle.reader.chunks)
        return float(total / sum(oracle.goal.users(q)[at] for q in oracle.reader.chunks))

    for at in range(len(targets)):
        for which, slope in enumerate((slopes.gradient[at], slopes.choice[at])):
            direction = torch.randn(slope.shape, generator=generator, dtype=torch.float64)
            step = direction * 1e-4 * tokens.mask[at].unsqueeze(-1)
            plus, minus = ([step * s if which == n else 0.0 for n in (0, 1)] for s in (1, -1))
            difference = (loss_at(at, *plus) - loss_at(at, *minus)) / 2
            assert float((slope * step).sum()) == pytest.approx(difference, rel=1e-3, abs=1e-12)
            assert (abs(difference) > 1e-9) == (at != nobodys)
    assert not slopes.gradient[~tokens.mask].any()
    assert not slopes.choice[~tokens.mask].any()


def test_an_item_that_is_no_candidate_counts_as_no_hidden_gradient(victim, targets, nobodys):
    oracle = _oracle(victim, targets)
    slopes = oracle.slopes(oracle.titles())
    assert not slopes.choice[nobodys].any()
    assert (oracle.diagnosis.judged, oracle.diagnosis.zero, oracle.diagnosis.non_finite) == (2, 0, 0)
    assert oracle.costs.queries == oracle.costs.gradients == len(victim.users)


def test_slopes_go_through_wrappers(victim, targets):
    oracle = _oracle(victim, targets)
    outer = replace(oracle, reader=replace(oracle.reader, model=Wrapped(Wrapped(victim.model))))
    expected, slopes = (o.slopes(o.titles()) for o in (oracle, outer))
    torch.testing.assert_close(slopes.gradient, expected.gradient)
    torch.testing.assert_close(slopes.choice, expected.choice)
    assert slopes.words == expected.words


def test_slopes_go_through_noise_on_the_history(victim, targets, nobodys):
    oracle = _oracle(victim, targets)
    plain = oracle.slopes(oracle.titles())
    for sigma, least, most in ((1e-5, 0, 1e-4), (30.0, 1e-3, 1e9)):
        noisy = replace(oracle, reader=replace(oracle.reader, model=SmoothedModel(victim.model, sigma, 1, "mean")))
        noisy.diagnosis = Diagnosis()
        slopes = noisy.slopes(noisy.titles())
        assert (noisy.diagnosis.judged, noisy.diagnosis.zero) == (2, 0)
        assert least < float((slopes.choice - plain.choice).abs().max()) < most
        assert not slopes.choice[nobodys].any()


def test_a_wrapped_model_shows_what_it_is(victim):
    outer = Wrapped(victim.model)
    np.testing.assert_array_equal(
        outer.candidates(victim.users, victim.history), victim.model.candidates(victim.users, victim.history)
    )
    assert (outer.follows, outer.reads_text, outer.reads_of) == (True, True, ("title",))
    names = [m.name for m in replaced(victim, outer).surface("text").members(Auto.make(surface="text"))]
    assert names == ["random-words", "prefix", "hotflip", "prompt-injection"]


def replaced(victim, model):
    return MeasuredVictim(model, victim.history, victim.held, victim.users, 0, victim.catalogue)


def test_slopes_are_of_the_title_as_the_defence_reads_it(victim, targets, nobodys):
    oracle = _oracle(victim, targets)
    drop = replace(oracle, reader=replace(oracle.reader, clean=lambda title: title.replace("Zzz", "")))
    titles = [f"{title.split()[0]} Zzz  {' '.join(title.split()[1:])}" for title in oracle.titles()]
    slopes, expected = drop.slopes(titles), oracle.slopes(oracle.titles())
    assert slopes.titles == expected.titles == oracle.titles()
    assert torch.equal(slopes.ids, expected.ids)
    torch.testing.assert_close(slopes.choice, expected.choice, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(slopes.gradient, expected.gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("title", ["", "Word" * 500])
def test_a_title_that_is_not_read_has_no_tokens_and_hides_nothing(victim, targets, nobodys, title):
    oracle = _oracle(victim, targets, 500.0)
    first = next(at for at in range(len(targets)) if at != nobodys)
    titles = oracle.titles()
    titles[first] = title
    slopes = oracle.slopes(titles)
    assert slopes.ids.shape[1] < 20
    assert (slopes.word[first] == -1).all()
    assert (oracle.diagnosis.judged, oracle.diagnosis.zero) == (1, 0)
    assert list(WordFlips.at(oracle, titles).substitutions(first, title)) == []


def test_a_hidden_gradient_is_seen(victim, targets, monkeypatch):
    genuine = Llm.softened
    monkeypatch.setattr(
        Llm, "softened", lambda self, items, tokens, v, c: genuine(self, items, tokens, v.detach(), c.detach())
    )
    oracle = _oracle(victim, targets)
    oracle.slopes(oracle.titles())
    assert (oracle.diagnosis.judged, oracle.diagnosis.zero) == (2, 2)


def test_a_flip_of_the_last_word_changes_scores_as_estimated(victim, targets, nobodys):
    oracle, model = _oracle(victim, targets), victim.model
    flips = WordFlips.at(oracle, oracle.titles())
    sloper = Sloper(oracle.reader, oracle.goal, oracle.costs, oracle.diagnosis)
    for at, (item, title) in enumerate(zip(targets.tolist(), oracle.titles(), strict=True)):
        if at == nobodys:
            continue
        estimates = flips.estimates(at, title)[-1]
        for number in range(0, len(flips.words), 9):
            words = [*title.split()[:-1], flips.words[number]]
            other = model.rewritten({item: replace(victim.catalogue.items[item], title=" ".join(words))})
            change = users = 0.0
            for chunk in oracle.reader.chunks:
                now = _scores(victim, model, chunk)
                weights = sloper._weights(now, oracle.goal, chunk)[:, at]
                change += float((weights * (_scores(victim, other, chunk) - now)[:, item])[weights != 0].sum())
                users += float(oracle.goal.users(chunk)[at])
            assert float(estimates[number]) == pytest.approx(change / users, rel=1e-4, abs=1e-9)


@pytest.fixture(scope="module")
def memoryless(tmp_path_factory):
    """Returns a victim with a decoder that reads only the previous token.

    Only every second word of the titles is a single token.
    """
    data, test = readers(16)
    words = sorted({word for item in data.catalogue.items for word in item.title.split()})[::2]
    weights = str(tiny_decoder(tmp_path_factory.mktemp("gpt2"), "gpt2", words=words))
    model, _ = fitted(Llm.make(weights=weights, **SMALL), data)
    model = model.double()
    model.token_table()  # moves the network to double precision too
    with torch.no_grad():
        for name, part in model.decoder.net.named_parameters():
            if ".attn.c_proj." in name or ".wpe." in name:
                part.zero_()
    model.likelihoods.clear()
    users = np.arange(data.n_real_users)
    return MeasuredVictim(model, joined(data.train, data.validation), test, users, 0, data.catalogue)


def _change(victim, oracle, at, title):
    """Returns how much the loss of an item changes if the item gets another title.

    The change is computed to first order in the scores of the item.
    """
    item, change, users = int(oracle.items[at]), 0.0, 0.0
    sloper = Sloper(oracle.reader, oracle.goal, oracle.costs, oracle.diagnosis)
    other = victim.model.rewritten({item: replace(victim.catalogue.items[item], title=title)})
    asked = victim.model.candidates(victim.users, victim.history)
    for chunk in oracle.reader.chunks:
        now = _scores(victim, victim.model, chunk)
        weights = sloper._weights(now, oracle.goal, chunk)[:, at]
        gone = (_scores(victim, other, chunk) - now)[:, item]
        ranked = torch.from_numpy((asked[chunk.users.numpy()] == item).any(1))
        change += float((weights * gone)[ranked & (weights != 0)].sum())
        users += float(oracle.goal.users(chunk)[at])
    return change / users


@pytest.mark.parametrize("where", ["memoryless", "victim"])
def test_a_deleted_last_word_takes_its_likelihood_out_of_the_mean(where, request):
    victim = request.getfixturevalue(where)
    counts = np.bincount(
        victim.model.candidates(victim.users, victim.history).ravel(), minlength=victim.history.n_items
    )
    targets = np.sort(np.argsort(-counts, kind="stable")[:4])
    oracle = _oracle(victim, targets)
    flips, compared = WordFlips.at(oracle, oracle.titles()), 0
    for at, title in enumerate(oracle.titles()):
        words, place = title.split(), len(title.split()) - 1
        if not place:
            assert list(flips.deletions(at, title)) == []
            continue
        tokens = dict(flips._tokens_by_position(at, title))[place]
        likelihood = float(flips._likelihood_of_deletion(flips.slopes.choice[at], at, tokens))
        assert likelihood == pytest.approx(_change(victim, oracle, at, " ".join(words[:-1])), rel=1e-4, abs=1e-9)
        assert abs(likelihood) > 1e-7
        gains = {
            p: float(flips._likelihood_of_deletion(flips.slopes.choice[at], at, t))
            for p, t in flips._tokens_by_position(at, title)
        }
        best = sorted(gains, key=gains.get, reverse=True)
        assert list(flips.deletions(at, title)) == [" ".join(words[:p] + words[p + 1 :]) for p in best]
        compared += 1
    assert compared > 1


def test_words_of_several_tokens_change_the_scores_of_a_memoryless_decoder_as_estimated(memoryless):
    victim = memoryless
    counts = np.bincount(
        victim.model.candidates(victim.users, victim.history).ravel(), minlength=victim.history.n_items
    )
    oracle = _oracle(victim, np.sort(np.argsort(-counts, kind="stable")[:3]))
    flips = WordFlips.at(oracle, oracle.titles())
    assert (flips.sizes > 1).sum() > 9
    assert (flips.tails[flips.sizes > 1] < -1).all()
    assert (flips.tails[flips.sizes == 1] == 0).all()
    replaced_sizes, changes = set(), []
    for at, title in enumerate(oracle.titles()):
        estimates, words = flips.estimates(at, title)[-1], title.split()
        replaced_sizes.add(int((flips.slopes.word[at] == len(words) - 1).sum()))
        for number in range(0, len(flips.words), 5):
            change = _change(victim, oracle, at, " ".join([*words[:-1], flips.words[number]]))
            # A token of the old word affects only its own position, and only through its vector.
            estimate = float(estimates[number] - _vectors(flips, at, len(words) - 1, number))
            assert estimate == pytest.approx(change, rel=1e-3, abs=1e-7)
            changes.append(abs(change))
    assert len(replaced_sizes) > 1
    assert np.median(changes) > 1e-4


def _vectors(flips, at, place, number):
    """Returns the part of an estimate that comes from the vectors of a word's tokens."""
    s = flips.slopes
    tokens = s.word[at] == place
    return float(((flips.vectors[number] - s.table[s.ids[at, tokens]]) * s.gradient[at, tokens]).sum())


def test_words_are_spelled_as_they_are_read_in_a_title(memoryless):
    oracle = _oracle(memoryless, np.arange(2))
    slopes = oracle.slopes(oracle.titles())
    catalogue = sorted({word for item in memoryless.catalogue.items for word in item.title.split()})
    assert list(slopes.spelled) == catalogue
    for word, tokens in slopes.spelled.items():
        (whole,) = memoryless.model.tokens([f"Word {word}"]).ids.tolist()
        assert whole[-len(tokens) :] == list(tokens)
        assert memoryless.model.decoder.tokenizer.decode(list(tokens)).strip() == word


def test_shorter_titles_are_among_the_proposals(memoryless):
    counts = np.bincount(memoryless.model.candidates(memoryless.users, memoryless.history).ravel())
    oracle = _oracle(memoryless, np.sort(np.argsort(-counts, kind="stable")[:2]))
    proposed = list(HotFlip.make(k=K, verify=2)._proposals(TitleSearch(oracle)))
    for at, title in enumerate(oracle.titles()):
        words = title.split()
        shorter = {" ".join(words[:p] + words[p + 1 :]) for p in range(len(words))} - {""}
        assert len(shorter & {titles[at] for titles in proposed}) == min(2, len(shorter))


def test_flips_reach_more_users_than_random_words(victim, targets):
    def reached(attacked):
        ranks = attacked.arrays["target_ranks"]
        return float(((ranks > 0) & (ranks <= K)).sum() / (ranks > 0).sum())

    clean = reached(victim.clean(targets))
    flips = victim.attacked(HotFlip.make(k=K, verify=4), 1.0, "hotflip", targets)
    looks = math.ceil(flips.achieved["queries"] / len(victim.users))
    random = victim.attacked(RandomRewrite.make(k=K, draws=looks), 1.0, "random", targets)
    assert reached(flips) > max(clean, reached(random))


def test_the_ensemble_flips_words_if_it_promotes(victim):
    names = [m.name for m in victim.surface("text").members(Auto.make(surface="text"))]
    assert names == ["random-words", "prefix", "hotflip", "prompt-injection"]
    names = [m.name for m in victim.surface("text").members(Auto.make(surface="text", goal="untargeted"))]
    assert names == ["random-words", "prefix"]


def test_there_are_no_slopes_for_the_fall_of_others(victim):
    oracle = _oracle(victim, np.arange(3))
    with pytest.raises(PluginError, match="needs a model with gradients with respect to the tokens"):
        list(
            HotFlip.make(goal="untargeted").rewrite(replace(oracle, goal=HeldOutGoal(oracle.goal.items, K)), victim.rng)
        )


def test_slopes_of_a_model_with_lora_are_there_and_nothing_remembered_keeps_a_graph(victim, targets, nobodys):
    data, _ = readers(16)
    model, _ = fitted(Llm.make(weights=victim.model.config.weights, lora_rank=2, train_rows=8, **SMALL), data)
    oracle = _oracle(victim, targets)
    oracle = replace(oracle, reader=replace(oracle.reader, model=model))
    slopes = oracle.slopes(oracle.titles())
    shown = np.arange(len(targets)) != nobodys
    assert (slopes.choice[shown].abs().amax((1, 2)) > 0).all()
    answers = [*model.likelihoods.values.values(), *(prefix.log for prefix in model.likelihoods.prefixes.values())]
    assert not any(part.requires_grad for part in answers)
