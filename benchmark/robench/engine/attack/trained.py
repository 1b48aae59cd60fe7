"""Measures whether a model trained elsewhere depends on what attacks change.

Such a model may never have passed the conformance tests. If the scores ignore the histories or titles, every attack on
them fails, and the model would look robust.
"""

from __future__ import annotations

import numpy as np

from robench.api.data import Interactions
from robench.engine.attack.victim import EvaluatedVictim

USERS = 64  # the largest number of users, or of titles, that are checked
LEAST = 1e-6  # the least change of the scores that counts, in standard deviations of the scores


def history_share_ignored(victim: EvaluatedVictim) -> dict[str, float]:
    """Returns ``history_share_ignored``: the share of users with unmoved scores.

    Each of the first users gets the history of another user. A user with an identical history does not count. The
    result is empty if the model was not trained elsewhere, or if no user counts.
    """
    if not victim.model.trained_elsewhere:
        return {}
    users, history = victim.users[:USERS], victim.history
    others = np.roll(users, 1)
    rows = [history.row(user)[:0] for user in range(history.n_users)]
    for user, other in zip(users.tolist(), others.tolist(), strict=True):
        rows[user] = history.row(other)
    differs = np.array([not np.array_equal(history.row(u), rows[u]) for u in users.tolist()])
    if not differs.any():
        return {}
    before = victim.model.scores(users, history)
    after = victim.model.scores(users, Interactions.from_rows(rows, history.n_items))
    moved = np.abs(after - before).max(axis=1) > LEAST * max(float(before.std()), 1e-30)
    return {"history_share_ignored": float(1 - moved[differs].mean())}


def title_share_ignored(victim: EvaluatedVictim) -> dict[str, float]:
    """Returns ``titles_share_ignored``: the share of titles without any effect.

    Each of the most frequent items gets the text of another one. An item with an identical text does not count. The
    result is empty if the model was not trained elsewhere, if there is no catalogue, or if no item counts.
    """
    catalogue = victim.catalogue
    if not victim.model.trained_elsewhere or catalogue is None:
        return {}
    users = victim.users[:USERS]
    rows = np.argsort(-victim.history.counts(), kind="stable")[:USERS].tolist()
    before = victim.model.scores(users, victim.history)
    moved = []
    for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        if catalogue.items[row] == catalogue.items[other]:
            continue
        after = victim.model.rewritten({row: catalogue.items[other]}).scores(users, victim.history)
        moved.append(bool(np.abs(after - before).max() > LEAST * max(float(before.std()), 1e-30)))
    return {"titles_share_ignored": 1 - float(np.mean(moved))} if moved else {}
