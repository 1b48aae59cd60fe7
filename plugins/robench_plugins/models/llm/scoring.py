"""Scores the candidates of one user by the likelihood of their titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from robench.api.usage import count_usage
from robench_plugins.models.llm.likelihoods import TitleLikelihoods
from robench_plugins.models.llm.prompt import Prompt
from robench_plugins.models.llm.titles import CatalogueTitles

# The scores of candidates are at least LEAST, those of unusable candidates at most UNUSABLE, all others at most OTHERS.
LEAST, UNUSABLE, OTHERS = -90.0, -95.0, -100.0


@dataclass(frozen=True, eq=False)
class CandidateScorer:
    """A scorer of candidates for the current state of a model.

    Users are scored one by one. So the perturbation of one user never affects another user, and a chunk of users needs
    no more memory than a single user.

    Args:
        likelihoods: the likelihoods of titles, with their cache.
        titles: the titles of the items.
        training: whether the model is in training.
        trainable: whether the decoder has factors that are trained.
    """

    likelihoods: TitleLikelihoods
    titles: CatalogueTitles
    training: bool
    trainable: bool

    def scores(self, prompt: Prompt, vectors: Tensor, items: Sequence[int], retrieved: Tensor) -> Tensor:
        """Returns the scores of the candidates of one user, float [candidates].

        The score of a candidate is its entry in ``values``, or −90 if it is lower. Candidates with an unusable title or
        a value that is not finite have scores of −95 or less, in the order of the retriever.

        Args:
            prompt: the prompt of the user.
            vectors: the vectors of the prompt's tokens, which may be perturbed, float [tokens, d].
            items: the candidates in the order of the retriever, best first.
            retrieved: the retriever's scores of the candidates, as standard scores, float [candidates].
        """
        tokenizer, device = self.titles.tokenizer, vectors.device
        tokens = [self.titles.tokens_of(item) for item in items]
        usable = [item for item, title in zip(items, tokens, strict=True) if tokenizer.is_usable(title)]
        mask = torch.tensor([tokenizer.is_usable(title) for title in tokens], dtype=torch.bool, device=device)
        scores = UNUSABLE - torch.arange(len(items)).to(vectors) / max(1, len(items))
        values = self.values(prompt, vectors, items, usable, retrieved[mask])
        finite = torch.isfinite(values.detach())
        count_usage(
            prompts=1,
            cut=int(prompt.cut),
            answers=len(items),
            empty=sum(not title for title in tokens),
            too_long=sum(len(title) > tokenizer.limit for title in tokens),
            not_finite=int((~finite).sum()),
        )
        return scores.masked_scatter(mask, torch.where(finite, values.clamp_min(LEAST), scores[mask]))

    def values(
        self, prompt: Prompt, vectors: Tensor, items: Sequence[int], usable: Sequence[int], retrieved: Tensor
    ) -> Tensor:
        """Returns the mean log-likelihoods of the usable candidates' titles, float [m].

        Args:
            prompt: the prompt of the user.
            vectors: the vectors of the prompt's tokens, which may be perturbed, float [tokens, d].
            items: all candidates of the user.
            usable: the m candidates with usable titles.
            retrieved: the retriever's scores of the usable candidates. They have no influence here.
        """
        if self._is_unperturbed(prompt, vectors):
            return self._cached(prompt, vectors, items, usable)
        return self.perturbed(prompt, vectors, usable)

    def perturbed(self, prompt: Prompt, vectors: Tensor, items: Sequence[int]) -> Tensor:
        """Returns the likelihoods of items with usable titles, float [m].

        The vectors may be perturbed. If a gradient is needed and no title is soft, the result is differentiable with
        respect to the vectors.

        Args:
            prompt: the prompt of the user.
            vectors: the vectors of the prompt's tokens, which may be perturbed, float [tokens, d].
            items: m items with usable titles.
        """
        titles = [self.titles.tokens_of(item) for item in items]
        if soft_titles := self.titles.soft:
            values = list(self.likelihoods.of_titles_perturbed(prompt.ids, vectors, titles)) if items else []
            for index, item in enumerate(items):
                if item in soft_titles:
                    soft = soft_titles[item]
                    values[index] = self.likelihoods.of_soft_title_perturbed(vectors, titles[index], soft)
            return torch.stack(values) if values else vectors.new_zeros(0)
        return self.together(prompt, vectors, titles)

    def together(self, prompt: Prompt, vectors: Tensor, titles: Sequence[Sequence[int]]) -> Tensor:
        """Returns the mean log-likelihoods of titles as float [titles].

        The titles are evaluated together. The vectors may be perturbed. If a gradient is needed, the result is
        differentiable with respect to them.

        Args:
            prompt: the prompt of the user.
            vectors: the vectors of the prompt's tokens, float [tokens, d].
            titles: the tokens of each title.
        """
        decoder = self.likelihoods.decoder
        if not self._needs_gradient(vectors):
            if self.training:
                return decoder.log_likelihoods(vectors, titles)
            return self.likelihoods.of_titles_perturbed(prompt.ids, vectors, titles)
        likelihoods: Tensor = checkpoint(
            decoder.log_likelihoods, vectors, titles, use_reentrant=False, preserve_rng_state=False
        )
        return likelihoods

    def _cached(self, prompt: Prompt, vectors: Tensor, items: Sequence[int], usable: Sequence[int]) -> Tensor:
        """Returns the likelihoods of usable candidates after an unperturbed prompt.

        The result is float [m].

        A genuine title is evaluated together with the genuine titles of all candidates. A rewritten title is evaluated
        alone.

        Args:
            prompt: the prompt of the user.
            vectors: the vectors of the prompt's tokens, float [tokens, d].
            items: all candidates of the user.
            usable: the m candidates with usable titles.
        """
        genuine = {item: self.titles.genuine_tokens_of(item) for item in items}
        evaluated = [item for item in items if self.titles.tokenizer.is_usable(genuine[item])]
        unchanged = {item for item in usable if self.titles.tokens_of(item) == genuine[item]} - self.titles.soft.keys()
        values = {}
        if unchanged:
            together = self.likelihoods.of_titles(prompt.ids, vectors, [genuine[item] for item in evaluated])
            values = dict(zip(evaluated, together, strict=True))
        for item in usable:
            inputs = (prompt.ids, vectors, self.titles.tokens_of(item))
            if item in self.titles.soft:
                values[item] = self.likelihoods.of_soft_title(*inputs, self.titles.soft[item])
            elif item not in unchanged:
                values[item] = self.likelihoods.of_title(*inputs)
        return torch.stack([values[item] for item in usable]) if usable else vectors.new_zeros(0)

    def _is_unperturbed(self, prompt: Prompt, vectors: Tensor) -> bool:
        """Returns whether the prompt is unperturbed and needs no gradient."""
        if self.training or self._needs_gradient(vectors):
            return False
        tokens = torch.tensor(prompt.ids, device=vectors.device)
        return torch.equal(vectors, self.likelihoods.decoder.embed(tokens))

    def _needs_gradient(self, vectors: Tensor) -> bool:
        """Returns whether a gradient is needed.

        The gradient may be that of the inputs or that of the trained factors. With soft titles no gradient is needed.
        """
        return not self.titles.soft and torch.is_grad_enabled() and (vectors.requires_grad or self.trainable)
