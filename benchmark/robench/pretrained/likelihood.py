"""Scores short texts by their likelihood under the packaged decoder.

The host uses these scores for titles, and no model or attack needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch

from robench.api.data import FloatArray
from robench.pretrained.causal import CausalModel

AT_ONCE = 16  # the largest number of texts in a batch
LOWEST = -100.0  # the value of a text without tokens, in nats; no other text is as unlikely
DIGITS = 4  # the rounding hides that the sums of two batches are rounded differently


@dataclass(eq=False)
class TextLikelihood:
    """The mean log-likelihood per token of texts under a decoder.

    A text follows the special tokens that start a text. If there are none, it follows the token that ends a text. Every
    text is scored once per process.

    Args:
        model: the decoder.
    """

    model: CausalModel
    _values: dict[str, float] = field(default_factory=dict)

    def mean(self, texts: Sequence[str]) -> FloatArray:
        """Returns the mean log-likelihood of each text's tokens in nats, float64 [n].

        The value of a text without tokens is −100.
        """
        new = sorted({text for text in texts if text not in self._values}, key=lambda text: (len(text), text))
        for at in range(0, len(new), AT_ONCE):
            self._values.update(self._score(new[at : at + AT_ONCE]))
        return np.array([self._values[text] for text in texts], dtype=np.float64)

    def _score(self, texts: Sequence[str]) -> dict[str, float]:
        """Returns the mean log-likelihood of each text's tokens, by text."""
        end = self.model.tokenizer.eos_token_id
        front = self.model.start or ([] if end is None else [end])
        rows = [[*front, *self.model.ids(text)][: self.model.context] for text in texts]
        width = max(map(len, rows))
        if width <= 1:
            return dict.fromkeys(texts, LOWEST)
        device = self.model.table().device
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
        lengths = torch.tensor([[len(row)] for row in rows], device=device)
        place = torch.arange(width, device=device)
        with torch.no_grad():
            logits = self.model.net(input_ids=ids, attention_mask=(place < lengths).long(), use_cache=False).logits
            own = logits[:, :-1].gather(2, ids[:, 1:, None]).squeeze(2) - logits[:, :-1].logsumexp(2)
        real = (place[1:] >= len(front)) & (place[1:] < lengths)
        count = real.sum(1)
        mean = torch.where(real, own, 0.0).sum(1).double() / count
        return {
            text: round(value, DIGITS) if tokens else LOWEST
            for text, value, tokens in zip(texts, mean.tolist(), count.tolist(), strict=True)
        }


@cache
def packaged_likelihood() -> TextLikelihood:
    """Returns the likelihood under the decoder SmolLM2-135M-Instruct.

    Raises:
        DataError: if a package is missing.
    """
    return TextLikelihood(CausalModel.load())
