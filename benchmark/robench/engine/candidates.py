"""Models of two stages: what the second one could rank at all, so that immunity by construction shows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from robench.api.data import IntArray, Interactions
from robench.api.models.base import Model
from robench.engine.attack.arena import Arrays
from robench.engine.rank.ranking import EvaluationChunk

K = 10


def second_stage(
    model: Model,
    history: Interactions,
    chunk: Iterable[EvaluationChunk],
    arrays: Arrays,
    targets: IntArray | None,
) -> dict[str, float]:
    """For the record of a model with candidates: how many, the retriever's recall of held-out items among them, and
    of promoted items the share of users for whom one is a candidate and T-HR@10 among these; nothing for one stage.

    Args:
        questions: of all evaluated users, on the CPU.
        arrays: with ``target_ranks`` int64 [T, U] where ``targets`` (int64 [T]) are promoted; 0 where a user has one.
    """
    held = found = 0
    width, among = 0, []
    for asked in chunk:
        chosen = model.candidates(asked.users.numpy(), history)
        if chosen is None:
            return {}
        width = chosen.shape[1]
        wanted = asked.held.numpy()
        held += int((wanted >= 0).sum())
        found += int(((wanted[:, :, None] == chosen[:, None, :]).any(2) & (wanted >= 0)).sum())
        if targets is not None:
            among.append((chosen[:, :, None] == targets).any(1))
    stage = {"candidates": float(width), "recall@candidates": found / max(1, held)}
    if targets is not None and len(targets) and "target_ranks" in arrays:
        ranks = arrays["target_ranks"]
        reachable, free = np.concatenate(among).T, ranks > 0
        stage["targets_among_candidates"] = float((reachable & free).sum() / max(1, free.sum()))
        if (reachable & free).any():
            stage["t-hr@10_given_candidate"] = float((ranks[reachable & free] <= K).mean())
    return stage
