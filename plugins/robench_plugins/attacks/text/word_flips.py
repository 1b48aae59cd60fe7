"""First-order estimates of how a change of one word in a title changes the loss."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api import PluginError, TextOracle
from robench.api.attacks.text import TokenSlopes
from robench_plugins.attacks.text.vocabulary import is_one_word, vocabulary

LETTERS = re.compile(r"[^\W\d_]+")
STEEPEST = 200  # the most substitutions per title to try, highest estimates first; only those within budget are used


@dataclass(frozen=True, eq=False)
class WordFlips:
    """The words that may be inserted into titles, with the slopes of the loss.

    HotFlip (Ebrahimi et al., ACL 2018, eq. 3) estimates that token b in place of token a changes the loss by ⟨e_b −
    e_a, g⟩. Here e_a and e_b are the vectors of the tokens, and g is the gradient of the loss with respect to e_a. This
    class exchanges whole words. The vector of each old token is replaced by the mean vector of the new word's tokens.

    Some models score an item by the mean log-likelihood of its tokens. For these models the likelihood of the new word
    in its place is added to the estimate. (ARCA, Jones et al., ICML 2023, separates the two parts in the same way.) The
    likelihood of the first token is computed given the tokens before it. The likelihoods of later tokens are computed
    for the word by itself. The mean is taken over the new number of tokens.

    Other models score an item by the sum over its tokens, such as the pointwise mutual information of title and
    history. Their slopes already compare the likelihoods with and without the history. Therefore, a word that is likely
    after every prompt gains nothing, and neither does a longer or shorter title.

    Args:
        slopes: the slopes of the loss, as the host computes them.
        words: the W words that may be inserted.
        sizes: the number of tokens per word, float [W].
        vectors: the mean vector of the tokens of each word, float [W, d].
        first: the first token of each word, int64 [W].
        tails: the log-likelihood of the later tokens of each word, float [W]. It is 0 for a model without likelihoods.
    """

    slopes: TokenSlopes
    words: Sequence[str]
    sizes: Tensor
    vectors: Tensor
    first: Tensor
    tails: Tensor

    @classmethod
    def at(cls, oracle: TextOracle, titles: Sequence[str], *, catalogue_only: bool = False) -> WordFlips:
        """Returns the word flips for the given titles.

        Args:
            oracle: the oracle of the titles.
            titles: the titles of all attacked items.
            catalogue_only: whether only words of the catalogue's titles may be inserted.

        Raises:
            PluginError: if the model offers no gradient with respect to the tokens of a title, or reads none of the
                words that may be inserted.
        """
        slopes = oracle.slopes(titles)
        if slopes is None or not (slopes.words or slopes.spelled):
            raise PluginError("hotflip needs a model with gradients with respect to the tokens of a title")
        pool = _pool(slopes, vocabulary(oracle.catalogue), catalogue_only=catalogue_only)
        if not pool:
            raise PluginError("the model reads none of the words of the catalogue's titles: write words: any")
        tails = [0.0] * len(slopes.spelled) if slopes.tails is None else slopes.tails.tolist()
        tail_of = dict(zip(slopes.spelled, tails, strict=True))
        sizes = torch.tensor([len(tokens) for tokens in pool.values()])
        flat = torch.tensor([token for tokens in pool.values() for token in tokens])
        word_of = torch.arange(len(pool)).repeat_interleave(sizes)
        sums = slopes.table.new_zeros(len(pool), slopes.table.shape[1]).index_add_(0, word_of, slopes.table[flat])
        return cls(
            slopes,
            list(pool),
            sizes.to(sums),
            sums / sizes.to(sums).unsqueeze(1),
            torch.tensor([tokens[0] for tokens in pool.values()]),
            torch.tensor([tail_of.get(word, 0.0) for word in pool]).to(sums),
        )

    def typical_word(self) -> str:
        """Returns the word with the vector nearest to the mean vector of all words.

        Only words with the fewest tokens are considered.
        """
        distance = (self.vectors - self.vectors.mean(0)).square().sum(1)
        return self.words[int(torch.where(self.sizes == self.sizes.min(), distance, torch.inf).argmin())]

    def estimates(self, index: int, title: str) -> Tensor:
        """Returns the estimated change of the loss for each word at each position.

        The result is a float tensor [positions, W]. The estimate is −∞ at positions without a token. It is −∞
        everywhere if the model reads more or fewer words than the title has.

        Args:
            index: the item, in the order of the oracle.
            title: the title of this item.
        """
        s = self.slopes
        estimates = torch.full((len(title.split()), len(self.words)), -torch.inf)
        gradient, vectors = s.gradient[index], s.table[s.ids[index]]
        for position, tokens in self._tokens_by_position(index, title):
            old = (gradient[tokens] * vectors[tokens]).sum()
            estimates[position] = self.vectors @ gradient[tokens].sum(0) - old
            if s.choice is not None:
                estimates[position] += self._likelihood_of_flip(s.choice[index], index, tokens)
        return estimates

    def substitutions(self, index: int, title: str, position: int | None = None, most: int = STEEPEST) -> Iterator[str]:
        """Yields the title after each of the steepest substitutions, the steepest first.

        Args:
            index: the item, in the order of the oracle.
            title: the title of this item.
            position: the only position to change, or None for all positions. −1 is the last position.
            most: the maximum number of substitutions.
        """
        estimates = self.estimates(index, title)
        positions = range(len(estimates)) if position is None or not len(estimates) else [position % len(estimates)]
        flat = estimates[list(positions)].flatten()
        for value, flip in zip(*(part.tolist() for part in flat.topk(min(len(flat), most))), strict=True):
            if value > -torch.inf:
                parts = title.split()
                parts[positions[flip // len(self.words)]] = self.words[flip % len(self.words)]
                yield " ".join(parts)

    def deletions(self, index: int, title: str) -> Iterator[str]:
        """Yields the title after each possible deletion of a word, best estimate first.

        A word without tokens is never deleted. Neither is the only word, or the only word with tokens.

        HotFlip estimates a deletion as a chain of flips of all later tokens. Here a deletion is
        estimated as a replacement of the word with the typical word. If the model has likelihoods, the likelihood of
        the word is removed from the mean instead.

        Args:
            index: the item, in the order of the oracle.
            title: the title of this item.
        """
        s, parts, estimates = self.slopes, title.split(), []
        filler = self.vectors[self.words.index(self.typical_word())]
        for position, tokens in self._tokens_by_position(index, title):
            if len(parts) == 1 or bool(tokens.equal(s.word[index] >= 0)):
                continue
            if s.choice is not None:
                estimate = self._likelihood_of_deletion(s.choice[index], index, tokens)
            else:
                estimate = (s.gradient[index, tokens] * (filler - s.table[s.ids[index, tokens]])).sum()
            estimates.append((float(estimate), position))
        for _, position in sorted(estimates, reverse=True):
            yield " ".join(parts[:position] + parts[position + 1 :])

    def steepest(self, index: int, title: str) -> list[tuple[float, int, str]]:
        """Returns the best substitution at each position, the steepest of them first.

        Args:
            index: the item, in the order of the oracle.
            title: the title of this item.

        Returns:
            The estimate, the position and the word of each substitution.
        """
        values, best = (part.tolist() for part in self.estimates(index, title).max(1))
        flips = [(value, place, self.words[word]) for place, (value, word) in enumerate(zip(values, best, strict=True))]
        return sorted((flip for flip in flips if flip[0] > -torch.inf), reverse=True)

    def _tokens_by_position(self, index: int, title: str) -> Iterator[tuple[int, Tensor]]:
        """Yields each word position with tokens, and the mask of the tokens, bool [L].

        Nothing is yielded if the model reads more or fewer words than the title has.
        """
        word = self.slopes.word[index]
        if len(self.slopes.titles[index].split()) == len(title.split()):
            yield from ((position, word == position) for position in sorted(set(word.tolist()) - {-1}))

    def _likelihood_of_flip(self, choice: Tensor, index: int, tokens: Tensor) -> Tensor:
        """Returns the part of the estimate that comes from the likelihoods, float [W].

        Each of the W words replaces some tokens of the title, which changes the title's likelihood. The result is the
        effect of this change on the loss.

        Args:
            choice: the slope of the loss with respect to the weight of each of V tokens at each place, float [L, V].
            index: the item, in the order of the oracle.
            tokens: the tokens that the word replaces, bool [L].
        """
        s = self.slopes
        total, count, rest, rest_count = self._likelihood_without(choice, index, tokens)
        worth = 0.0 if s.worth is None else s.worth[index]
        if not s.length_normalised:
            return choice[tokens][0, self.first] + self.tails * worth + rest - total
        new = choice[tokens][0, self.first] + self.tails * worth / count
        return (rest + new) * count / (rest_count + self.sizes) - total

    def _likelihood_of_deletion(self, choice: Tensor, index: int, tokens: Tensor) -> Tensor:
        """Estimates the change of the loss if some tokens' likelihoods are left out.

        The likelihood of the title then covers fewer tokens. The result is a scalar. The arguments are those of
        ``_likelihood_of_flip``.
        """
        total, count, rest, rest_count = self._likelihood_without(choice, index, tokens)
        return (rest * count / rest_count if self.slopes.length_normalised else rest) - total

    def _likelihood_without(self, choice: Tensor, index: int, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sums and counts the slopes of a title's tokens, with and without some of them.

        The slopes are those in ``choice`` at the tokens of the title.

        Args:
            choice: the slope of the loss with respect to the weight of each of V tokens at each place, float [L, V].
            index: the item, in the order of the oracle.
            tokens: the tokens to leave out, bool [L].

        Returns:
            The sum of the slopes and the number of tokens, for all tokens and then for the remaining tokens. All are
            scalars.
        """
        s = self.slopes
        real = s.word[index] >= 0
        own, count = choice.gather(1, s.ids[index].unsqueeze(1)).squeeze(1), real.sum()
        return own[real].sum(), count, own[real & ~tokens].sum(), count - tokens.sum()


def _pool(slopes: TokenSlopes, catalogue: Sequence[str], *, catalogue_only: bool) -> dict[str, tuple[int, ...]]:
    """Returns the words that may be inserted, with their tokens.

    If the model reads several words as the same tokens, only the first word is kept.

    Args:
        slopes: the model's tokens for words.
        catalogue: the words of the catalogue's titles.
        catalogue_only: whether a token that is a whole word is included only if a title contains this word.
    """
    known = {part.casefold() for word in catalogue for part in LETTERS.findall(word)}
    spelled = [(word, slopes.spelled[word]) for word in catalogue if word in slopes.spelled]
    whole = [
        (word, [token])
        for token, word in slopes.words.items()
        if is_one_word(word) and (not catalogue_only or word.casefold() in known)
    ]
    word_of: dict[tuple[int, ...], str] = {}
    for word, tokens in [*spelled, *whole]:
        word_of.setdefault(tuple(tokens), word)
    return {word: tokens for tokens, word in word_of.items()}
