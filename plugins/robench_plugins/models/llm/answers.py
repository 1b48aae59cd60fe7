"""What a decoder said of titles after a prompt: the same question is asked once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robench.pretrained import Decoder, Prefix, Soft

MEMO = 200_000  # answers that are remembered at most
PREFIXES = 2**30  # bytes of prompts' keys and values that are remembered at most, but for those of the last prompt


class Answers:
    """Of one victim, without a gradient.

    A user's genuine titles are asked for and remembered together, and a rewritten one by itself. Beside others a
    title's last bits are other ones, so this is a rule and no matter of speed alone: by it no number depends on what
    was asked before.

    Args:
        decoder: what is asked.
    """

    def __init__(self, decoder: Decoder) -> None:
        """Nothing was asked yet."""
        self.decoder = decoder
        self.memo: dict[bytes, Tensor] = {}
        self.prefixes: dict[bytes, Prefix] = {}

    def clear(self) -> None:
        """The decoder may be another one."""
        self.memo.clear()
        self.prefixes.clear()

    def together(self, prompt: Sequence[int], vectors: Tensor, titles: Sequence[Sequence[int]]) -> Tensor:
        """float [n]. Args: prompt: tokens; vectors: theirs, float [P, d]; titles: the tokens of each."""
        return self._once((prompt, titles), vectors, lambda: self.decoder.log_likelihoods(vectors, titles))

    def perturbed(self, prompt: Sequence[int], vectors: Tensor, titles: Sequence[Sequence[int]]) -> Tensor:
        """As ``together``, where ``vectors`` are not those of the prompt's tokens: the host often looks twice."""
        content = vectors.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes()
        question = (prompt, titles, hashlib.sha256(content).hexdigest())
        return self._once(question, vectors, lambda: self.decoder.log_likelihoods(vectors, titles))

    def alone(self, prompt: Sequence[int], vectors: Tensor, title: Sequence[int]) -> Tensor:
        """float []."""
        return self._once((prompt, "alone", title), vectors, lambda: self._behind(prompt, vectors, title))

    def softly(self, prompt: Sequence[int], vectors: Tensor, title: Sequence[int], soft: Soft) -> Tensor:
        """As ``alone``, not remembered, with a gradient by ``soft``: float []."""
        return self._behind(prompt, vectors, title, soft)

    def softly_perturbed(self, vectors: Tensor, title: Sequence[int], soft: Soft) -> Tensor:
        """As ``softly``, behind ``vectors`` that are not those of a prompt's tokens: float []."""
        return self.decoder.log_likelihood_after(self.decoder.prefix(vectors.detach()), title, soft)

    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """How likely the further tokens of words are: float [W]."""
        return self._once(("tails", words), self.decoder.table(), lambda: self.decoder.tails(words))

    def _behind(self, prompt: Sequence[int], vectors: Tensor, title: Sequence[int], soft: Soft | None = None) -> Tensor:
        key = _key((prompt,), vectors)
        if (found := self.prefixes.pop(key, None)) is None:
            found = self.decoder.prefix(vectors)
        self.prefixes[key] = found  # the latest last
        held = sum(prefix.nbytes for prefix in self.prefixes.values())
        while held > PREFIXES and len(self.prefixes) > 1:
            held -= self.prefixes.pop(next(iter(self.prefixes))).nbytes
        return self.decoder.log_likelihood_after(found, title, soft)

    def _once(self, question: object, vectors: Tensor, evaluation_chunk: Callable[[], Tensor]) -> Tensor:
        key = _key(question, vectors)
        if key not in self.memo:
            if len(self.memo) >= MEMO:
                self.memo.clear()
            with torch.no_grad():
                self.memo[key] = evaluation_chunk()
        return self.memo[key]


def _key(question: object, vectors: Tensor) -> bytes:
    return hashlib.sha256(repr((question, vectors.dtype, str(vectors.device))).encode()).digest()
