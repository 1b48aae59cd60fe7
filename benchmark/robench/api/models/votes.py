"""The votes of base models, from which the host computes a certificate."""

from __future__ import annotations

from dataclasses import dataclass

from robench.api.data import IntArray


@dataclass(frozen=True, eq=False)
class Votes:
    """The votes of base models that were fitted on samples of the users.

    Each base model is fitted on ``sample`` users, who are drawn without replacement from the ``users`` users with
    training items. The draws are independent for each base model, and every set has the same probability. A base model
    votes for at most ``each`` items per user. The votes depend only on the sampled rows, the user's own history and
    random numbers of the base model. The host cannot check this, so a certificate is valid only if these statements
    hold.

    Args:
        counts: the number of base models that vote for each item, int64 [B, n_items]. A row is 0 if other data
            determine the user's list.
        models: the number of base models.
        sample: the number of users in each sample.
        users: the number of users from which the samples are drawn.
        each: the maximum number of items that a base model votes for, per user.
    """

    counts: IntArray
    models: int
    sample: int
    users: int
    each: int
