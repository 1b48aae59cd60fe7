"""Scores the candidates of one user by their retriever and their titles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robench_plugins.models.llm.prompt import Prompt
from robench_plugins.models.llm.scoring import CandidateScorer

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)  # validation chooses among these; of equal values, the first wins
FALLBACK = 0.2  # the weight without validation items
AT_ONCE = 64  # titles of the catalogue that are evaluated together after the prompt without a history
ROUNDING = 1e-4  # a smaller standard deviation of PMI, in nats, is rounding


@dataclass(frozen=True, eq=False)
class FusionScorer(CandidateScorer):
    """A scorer that adds the standard scores of the retriever and of PMI.

    The score of a candidate is z(retriever) + w · z(PMI). Here z is the standard score over the candidates of the user.
    PMI is the pointwise mutual information of a title and the history, which is the log-likelihood of the title after
    the prompt minus its log-likelihood after a prompt without history and profile. A title that is likely after every
    prompt therefore gains nothing.

    The mean and the standard deviation of PMI are those of the genuine titles after the same prompt. So a rewritten
    title changes no score but its own.

    Args:
        bare: the prompt without history and profile.
        weight: the weight w of PMI.
    """

    bare: Prompt
    weight: float

    def values(
        self, prompt: Prompt, vectors: Tensor, items: Sequence[int], usable: Sequence[int], retrieved: Tensor
    ) -> Tensor:
        """Returns the scores of the usable candidates, float [m].

        The gradient with respect to the vectors includes that of the mean and the standard deviation.

        Args:
            prompt: the prompt of the user.
            vectors: the vectors of the prompt's tokens, which may be perturbed, float [tokens, d].
            items: all candidates of the user.
            usable: the m candidates with usable titles.
            retrieved: the retriever's scores of the usable candidates, as standard scores, float [m].
        """
        titles = self.titles
        genuine = [item for item in items if titles.tokenizer.is_usable(titles.genuine_tokens_of(item))]
        reference = self._genuine_information(prompt, vectors, genuine)
        information = dict(zip(genuine, reference, strict=True))
        for item in usable:
            if item in titles.soft or titles.tokens_of(item) != titles.genuine_tokens_of(item):
                information[item] = self._new_information(prompt, vectors, item)
        now = torch.stack([information[item] for item in usable]) if usable else vectors.new_zeros(0)
        return retrieved + self.weight * standard_scores(now, reference)

    def _genuine_information(self, prompt: Prompt, vectors: Tensor, items: Sequence[int]) -> Tensor:
        """Returns the PMI of genuine titles as float [len(items)].

        The titles are evaluated together.
        """
        titles = [self.titles.genuine_tokens_of(item) for item in items]
        if not titles:
            return vectors.new_zeros(0)
        if self._is_unperturbed(prompt, vectors):
            after = self.likelihoods.of_titles(prompt.ids, vectors, titles)
        else:
            after = self.together(prompt, vectors, titles)
        before = torch.stack([self._prior(item) for item in items])
        return (after - before) * torch.tensor([len(title) for title in titles]).to(after)

    def _prior(self, item: int) -> Tensor:
        """Returns the mean log-likelihood of a genuine title without a history, float [].

        The title is evaluated together with its neighbours in the catalogue, so that the result depends on the
        catalogue alone.
        """
        titles, first = self.titles, item - item % AT_ONCE
        rows = range(first, min(first + AT_ONCE, len(titles.genuine)))
        usable = [row for row in rows if titles.tokenizer.is_usable(titles.genuine_tokens_of(row))]
        block = [titles.genuine_tokens_of(row) for row in usable]
        return self.likelihoods.of_titles(self.bare.ids, self._bare_vectors(), block)[usable.index(item)]

    def _new_information(self, prompt: Prompt, vectors: Tensor, item: int) -> Tensor:
        """Returns the PMI of a rewritten or soft title as float [].

        The title is evaluated alone.
        """
        title, soft = self.titles.tokens_of(item), self.titles.soft.get(item)
        bare = (self.bare.ids, self._bare_vectors(), title)
        unperturbed = self._is_unperturbed(prompt, vectors)
        if soft is not None:
            before = self.likelihoods.of_soft_title(*bare, soft)
            if unperturbed:
                after = self.likelihoods.of_soft_title(prompt.ids, vectors, title, soft)
            else:
                after = self.likelihoods.of_soft_title_perturbed(vectors, title, soft)
        else:
            before = self.likelihoods.of_title(*bare)
            if unperturbed:
                after = self.likelihoods.of_title(prompt.ids, vectors, title)
            else:
                (after,) = self.together(prompt, vectors, [title])
        return (after - before) * len(title)

    def _bare_vectors(self) -> Tensor:
        decoder = self.likelihoods.decoder
        return decoder.embed(torch.tensor(self.bare.ids, device=decoder.table().device))


def standard_scores(values: Tensor, reference: Tensor) -> Tensor:
    """Returns (values − mean) / standard deviation, with both moments of a reference.

    Values of the reference that are not finite are left out of the moments. If the standard deviation is only rounding,
    the result is 0. The result is NaN if no value of the reference is finite.

    Args:
        values: the values, float [n].
        reference: the values whose mean and standard deviation are used, float [m].
    """
    finite = reference[torch.isfinite(reference.detach())]
    if not len(finite):
        return torch.full_like(values, math.nan)
    deviation = finite.std(correction=0)
    return (values - finite.mean()) / (deviation if float(deviation.detach()) > ROUNDING else math.inf)
