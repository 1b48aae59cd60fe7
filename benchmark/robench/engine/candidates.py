"""Computes diagnostics about the candidates that a model reranks.

The diagnostics reveal a model that is immune to attacks because target items are never candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray, Interactions
from robench.api.models.base import Model
from robench.engine.rank.chunk import EvaluationChunk

K = 10


def candidate_diagnostics(
    model: Model,
    history: Interactions,
    chunks: Iterable[EvaluationChunk],
    arrays: Mapping[str, NDArray[Any]],
    targets: IntArray | None,
) -> dict[str, float]:
    """Returns diagnostics about the candidates that a model reranks, by name.

    The result is empty if the model reranks no candidates.

    The diagnostics include the number of candidates per user, and the share of held-out items that are candidates. If
    there are targets, up to two more values describe the pairs of a target and a user. Pairs in which the target is
    known or held out for the user do not count. The first value is the share of pairs in which the target is a
    candidate. The second value looks only at the pairs in which the target is a candidate. It is the share of these
    pairs in which the target is in the top 10. It is missing if the target is a candidate in no pair.

    Args:
        model: the fitted model of the victim.
        history: the items that are known at test time, one row per real user.
        chunks: the chunks of all evaluated users, on the CPU.
        arrays: the arrays of the cell. If there are ``targets``, the array ``target_ranks``, int64 [targets, users],
            holds their ranks. A rank of 0 means that the item is known or held out for the user.
        targets: the target items, int64 [T], or None.
    """
    held_count = held_among = width = 0
    reachable_parts = []
    for chunk in chunks:
        candidates = model.candidates(chunk.users.numpy(), history)
        if candidates is None:
            return {}
        width = candidates.shape[1]
        held = chunk.held.numpy()
        held_count += int((held >= 0).sum())
        held_among += int(((held[:, :, None] == candidates[:, None, :]).any(2) & (held >= 0)).sum())
        if targets is not None:
            reachable_parts.append((candidates[:, :, None] == targets).any(1))
    diagnostics = {"candidates": float(width), "recall@candidates": held_among / max(1, held_count)}
    if targets is not None and len(targets) and "target_ranks" in arrays:
        ranks = arrays["target_ranks"]
        reachable, free = np.concatenate(reachable_parts).T, ranks > 0
        diagnostics["targets_among_candidates"] = float((reachable & free).sum() / max(1, free.sum()))
        if (reachable & free).any():
            diagnostics["t-hr@10_given_candidate"] = float((ranks[reachable & free] <= K).mean())
    return diagnostics
