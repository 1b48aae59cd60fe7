"""Fake users that a detector makes itself, to learn from labelled examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from robench.api import IntArray, Interactions
from robench_plugins.models.sparse_matrix import interaction_matrix

Kind = Literal["random", "segment", "popular"]
# The attacks of the same kind, by name: a detector that learned from one kind knows these attacks.
ATTACKS: Mapping[Kind, str] = {"random": "random-profiles", "segment": "segment", "popular": "bandwagon"}
MOST_TARGETS = 5  # the largest number of items that one training fake promotes
WIDTH = 3  # a segment holds this many times as many items as a profile


def make_training_fakes(train: Interactions, kind: Kind, count: int, generator: np.random.Generator) -> list[IntArray]:
    """Returns profiles of fake users of one kind, int64 arrays.

    Each profile starts with one to five random items that it promotes. Fillers follow until the profile is as long as
    the row of a random real user. If this row is not longer than the promoted items, there are no fillers. The kind
    decides which fillers are taken:

    - ``random``: uniform items.
    - ``segment``: random items of a segment that has three times as many items as the profile has fillers. The segment
      consists of the items whose users are most similar, by cosine, to the users of the promoted items.
    - ``popular``: the most popular items.

    Args:
        train: the distinct items of each user. No row is empty.
        kind: the kind of fillers.
        count: the number of profiles.
        generator: the source of random numbers.
    """
    counts, matrix = train.counts().astype(np.float64), interaction_matrix(train).astype(np.float64)
    profiles = []
    # The order of the rows is random, and must not change which profiles are drawn.
    for length in generator.choice(np.sort(train.lengths()), count).tolist():
        number = int(generator.integers(1, min(MOST_TARGETS, train.n_items) + 1))
        targets = generator.choice(train.n_items, number, replace=False)
        others = np.setdiff1d(np.arange(train.n_items), targets)
        size = min(max(length - number, 0), len(others))
        if kind == "random":
            fillers = generator.choice(others, size, replace=False)
        elif kind == "popular":
            fillers = others[np.argsort(-counts[others], kind="stable")][:size]
        else:
            # The cosine of an item's users with the users of the targets
            together = matrix.T @ np.asarray(matrix[:, targets].sum(1)).reshape(-1)
            near = (together / np.sqrt(np.maximum(counts, 1)))[others]
            segment = others[np.argsort(-near, kind="stable")][: WIDTH * size]
            fillers = generator.choice(segment, size, replace=False)
        profiles.append(np.concatenate([targets, fillers]).astype(np.int64))
    return profiles
