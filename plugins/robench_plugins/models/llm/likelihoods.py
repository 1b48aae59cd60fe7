"""Computes and caches the log-likelihoods of titles after a prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robench.pretrained import Decoder, Prefix, Soft

MOST_VALUES = 200_000  # the largest number of cached results
PREFIX_BYTES = 2**30  # the largest size of the cached prompts in bytes; beyond it the oldest prompts are dropped


class TitleLikelihoods:
    """The mean log-likelihoods of titles after prompts, in nats per token.

    The last bits of a log-likelihood depend on the titles that are evaluated with it. Therefore the genuine titles of a
    user are always evaluated together, and a rewritten title is evaluated alone. So every number is independent of
    earlier evaluations. Results are cached and have no gradient, unless a method says otherwise.

    Args:
        decoder: the language model.

    Attributes:
        values: the results by the hash of their inputs.
        prefixes: the prompts that the decoder has read, by hash, with the latest at the end.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.values: dict[bytes, Tensor] = {}
        self.prefixes: dict[bytes, Prefix] = {}

    def clear(self) -> None:
        """Empties ``values`` and ``prefixes``, after a change to the decoder's weights."""
        self.values.clear()
        self.prefixes.clear()

    def of_titles(self, prompt: Sequence[int], vectors: Tensor, titles: Sequence[Sequence[int]]) -> Tensor:
        """Returns the log-likelihoods of titles that are evaluated together.

        The result is float [titles].

        Args:
            prompt: the tokens of the prompt.
            vectors: the vectors of these tokens, float [tokens, d].
            titles: the tokens of each title.
        """
        return self._cached((prompt, titles), vectors, lambda: self.decoder.log_likelihoods(vectors, titles))

    def of_titles_perturbed(self, prompt: Sequence[int], vectors: Tensor, titles: Sequence[Sequence[int]]) -> Tensor:
        """Returns the log-likelihoods of several titles after a perturbed prompt.

        The result is float [titles]. The results are cached by the content of the vectors, because the host often
        evaluates a perturbation twice.

        Args:
            prompt: the tokens of the prompt.
            vectors: the perturbed vectors, float [tokens, d].
            titles: the tokens of each title.
        """
        content = vectors.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes()
        inputs = (prompt, titles, hashlib.sha256(content).hexdigest())
        return self._cached(inputs, vectors, lambda: self.decoder.log_likelihoods(vectors, titles))

    def of_title(self, prompt: Sequence[int], vectors: Tensor, title: Sequence[int]) -> Tensor:
        """Returns the log-likelihood of one title that is evaluated alone, float [].

        Args:
            prompt: the tokens of the prompt.
            vectors: the vectors of these tokens, float [tokens, d].
            title: the tokens of the title.
        """
        return self._cached((prompt, "alone", title), vectors, lambda: self._after_prefix(prompt, vectors, title))

    def of_soft_title(self, prompt: Sequence[int], vectors: Tensor, title: Sequence[int], soft: Soft) -> Tensor:
        """Returns the log-likelihood of a soft title, float [].

        The result is float []. It is not cached, and it is differentiable with respect to ``soft``.
        """
        return self._after_prefix(prompt, vectors, title, soft)

    def of_soft_title_perturbed(self, vectors: Tensor, title: Sequence[int], soft: Soft) -> Tensor:
        """Returns the log-likelihood of a soft title after a perturbed prompt.

        The result is float []. It is not cached, and it is differentiable with respect to ``soft``.
        """
        return self.decoder.log_likelihood_after(self.decoder.prefix(vectors.detach()), title, soft)

    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Returns the joint log-likelihood of each word's tokens after the first.

        The result is float [words].
        """
        return self._cached(("tails", words), self.decoder.table(), lambda: self.decoder.tails(words))

    def _after_prefix(
        self, prompt: Sequence[int], vectors: Tensor, title: Sequence[int], soft: Soft | None = None
    ) -> Tensor:
        """Returns the log-likelihood of a title after a prompt that is read once."""
        key = _hash((prompt,), vectors)
        if (prefix := self.prefixes.pop(key, None)) is None:
            prefix = self.decoder.prefix(vectors)
        self.prefixes[key] = prefix
        size = sum(prefix.nbytes for prefix in self.prefixes.values())
        while size > PREFIX_BYTES and len(self.prefixes) > 1:
            size -= self.prefixes.pop(next(iter(self.prefixes))).nbytes
        return self.decoder.log_likelihood_after(prefix, title, soft)

    def _cached(self, inputs: object, vectors: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Returns the result for the inputs from the cache.

        If the cache lacks the result, it is computed without a gradient.
        """
        key = _hash(inputs, vectors)
        if key not in self.values:
            if len(self.values) >= MOST_VALUES:
                self.values.clear()
            with torch.no_grad():
                self.values[key] = compute()
        return self.values[key]


def _hash(inputs: object, vectors: Tensor) -> bytes:
    """Returns a hash of the inputs and of the vectors' precision and device."""
    return hashlib.sha256(repr((inputs, vectors.dtype, str(vectors.device))).encode()).digest()
