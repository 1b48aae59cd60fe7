"""Models of (user, positive, negative) triples: a user vector against item vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding, softplus

from robench.api.data import IntArray, Interactions, TrainData
from robench.api.rng import Rng
from robench.api.torch_model import Batch, Embedded, Losses, TorchModel


def sample_negatives(users: IntArray, train: Interactions, generator: np.random.Generator) -> IntArray:
    """One uniform item per entry of ``users`` that the user has not used in ``train``.

    A user who has used the whole catalogue gets any item. Args: users int64 [n]. Returns: int64 [n].
    """
    n_items = train.n_items
    known = np.sort(train.users() * n_items + train.items)
    drawn = generator.integers(0, n_items, len(users))
    full = train.lengths() >= n_items
    todo = np.flatnonzero(~full[users]) if full.any() else np.arange(len(users))
    while len(todo) and len(known):
        keys = users[todo] * n_items + drawn[todo]
        place = np.searchsorted(known, keys)
        todo = todo[known[np.minimum(place, len(known) - 1)] == keys]
        drawn[todo] = generator.integers(0, n_items, len(todo))
    return drawn


class PairwiseModel(TorchModel):
    """BPR (Rendle et al. 2009, eq. 4): −ln σ(s_pos − s_neg), one uniform unused negative per interaction.

    A subclass builds its tables; its ``embed`` gives the input ``user`` [B, d] and the context ``items`` [n_items, d]
    (and optionally ``bias`` [n_items]).
    """

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Shuffled triples; real users' interactions and fakes' alike."""
        generator = rng.numpy()
        users, items = data.train.users(), data.train.items
        order = generator.permutation(len(items))
        negatives = sample_negatives(users, data.train, generator)
        columns = [torch.from_numpy(np.asarray(part[order])) for part in (users, items, negatives)]
        for u, pos, neg in zip(*(torch.split(part, self.config.batch_size) for part in columns), strict=True):
            yield Batch(u, u.new_empty(len(u), 0), {"positives": pos, "negatives": neg})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """The user ids; the history is in the user's vector already."""
        ids = torch.from_numpy(np.array(users, dtype=np.int64))
        return Batch(ids, torch.empty(len(ids), 0, dtype=torch.int64))

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """⟨u, v_i⟩ (+ b_i): float [B, n_items]."""
        scores: Tensor = e.inputs["user"] @ e.context["items"].T
        return scores + e.context["bias"] if "bias" in e.context else scores

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """s_pos − s_neg per triple."""
        pos, neg = batch.targets["positives"], batch.targets["negatives"]
        items = e.context["items"]
        # embedding() and not items[pos]: the same rows, but its backward pass is several times faster.
        margin = (e.inputs["user"] * (embedding(pos, items) - embedding(neg, items))).sum(-1)
        if "bias" in e.context:
            margin = margin + e.context["bias"][pos] - e.context["bias"][neg]
        return Losses(margin, torch.arange(len(pos), device=margin.device))

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """−ln σ(s_pos − s_neg) per triple."""
        margin, row = self.margins_from(batch, e)
        return Losses(softplus(-margin), row)
