"""Tests a run on cold users, and records the data that the model ``ease`` gets."""

import json

import numpy as np
import pytest
from tests.run.inline import run

from robench.api.data import TrainData
from robench.engine.data.prepared import Prepared
from robench_plugins.models.ease import Ease

SUITE = """name: cold
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 25}]
split: {name: cold-users, validation: 0.2, test: 0.3}
models: [ease, {name: mf, factors: 4, epochs: 1}]
metrics: [ndcg@10]
"""


class Spy:
    """An object that notes the fits of ``ease``, and the requests for scores.

    ``fits`` holds the training data of each fit. ``asked`` holds the users and the history of each request.
    """

    def __init__(self, monkeypatch):
        self.fits, self.asked = [], []
        fit, scores = Ease.fit, Ease.scores

        def spied_fit(model, data, rng):
            self.fits.append(data)
            fit(model, data, rng)

        def spied_scores(model, users, history):
            self.asked.append((users, history))
            return scores(model, users, history)

        monkeypatch.setattr(Ease, "fit", spied_fit)
        monkeypatch.setattr(Ease, "scores", spied_scores)

    def check(self, data):
        """Checks that no fit saw a tested user, and that scores come from known items.

        In each request for the scores of a tested user, the history must hold exactly the known items.
        """
        tested = np.flatnonzero(data.test.lengths()).tolist()
        assert tested
        for fit in self.fits:
            seen = (fit.train, fit.validation, fit.known)
            assert not sum(len(part.row(user)) for part in seen for user in tested), "a fit saw a tested user"
        asked = [(user, history) for users, history in self.asked for user in users.tolist() if user in tested]
        assert {user for user, _ in asked} == {*tested}
        for user, history in asked:
            assert history.row(user).tolist() == data.known.row(user).tolist()


def leaking(data):
    """Returns training data that include the known items of every cold user."""
    return TrainData(data.train, data.validation, data.catalogue, data.profiles, data.known)


@pytest.mark.parametrize("leaks", [False, True])
def test_no_fit_sees_a_tested_user_and_a_leak_is_caught(tmp_path, monkeypatch, own_cache, leaks):
    if leaks:
        monkeypatch.setattr(Prepared, "train_data", leaking)
    (tmp_path / "cold.yaml").write_text(SUITE)
    spy = Spy(monkeypatch)
    job = run(tmp_path / "cold.yaml")
    data = Prepared.load(next((job.cache.folder / "data").rglob("*.npz")))
    assert spy.fits
    if leaks:
        with pytest.raises(AssertionError, match="a fit saw a tested user"):
            spy.check(data)
        return
    spy.check(data)
    cells = {cell["model"]: cell for cell in json.loads((job.store.folder / "plan.json").read_text())["cells"]}
    assert cells["mf"]["status"] == "skipped"
    assert cells["mf"]["reason"] == "mf learns a vector per user, and cold-users tests users that no fit sees"
    record = json.loads((job.store.cells / f"{cells['ease']['cell']}.json").read_text())
    assert record["status"] == "ok"
    with np.load(job.store.cells / f"{record['id']}.npz") as arrays:
        assert arrays["users"].tolist() == np.flatnonzero(data.test.lengths()).tolist()
