"""Tests models on histories in which an item occurs several times."""

from dataclasses import replace

import numpy as np
import pytest

from robench.api.data import Interactions
from robench.testing.worlds import checkerboard, fitted, measured_victim
from robench_plugins.models.ease import Ease
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.llm.retrieval import RETRIEVERS, retrieve
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.popularity import Popularity
from robench_plugins.models.sasrec import SasRec
from robench_plugins.models.user_knn import UserKnn
from robench_plugins.models.wmf import Wmf

SETS = [Ease, ItemKnn, UserKnn, Wmf]
OTHERS = [Popularity, MatrixFactorization, LightGcn, MultiVae, Gru4Rec, SasRec]


def repeated(data):
    """Returns the data, with the first two items of each row repeated at its end."""
    rows = [np.append(data.train.row(user), data.train.row(user)[:2]) for user in range(data.train.n_users)]
    return replace(data, train=Interactions.from_rows(rows, data.train.n_items))


@pytest.mark.parametrize("model", SETS, ids=lambda model: model.__name__)
def test_a_model_of_sets_reads_each_pair_once(model):
    data, _ = checkerboard(n_users=12, n_items=16)
    again, users = repeated(data), np.arange(12)
    one, two = fitted(model(), data)[0], fitted(model(), again)[0]
    assert (one.scores(users, data.train) == two.scores(users, again.train)).all()
    assert (one.newcomers(data.train) == two.newcomers(again.train)).all()


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_a_retriever_reads_each_pair_once(retriever):
    data, _ = checkerboard(n_users=12, n_items=16)
    fit, users = fitted(RETRIEVERS[retriever](), data)[0], np.arange(12)
    one, two = (retrieve(fit, some.train, users, 8) for some in (data, repeated(data)))
    assert all((mine == other).all() for mine, other in zip(one, two, strict=True))


@pytest.mark.parametrize("model", SETS + OTHERS, ids=lambda model: model.__name__)
def test_every_kind_of_model_is_measured_with_repeats(model):
    data, test = checkerboard(n_users=12, n_items=16)
    settings = {"epochs": 2} if "epochs" in model.Config.model_fields else {}
    victim = measured_victim(fitted(model.make(**settings), repeated(data))[0], repeated(data), test)
    arrays = victim.clean(None).arrays
    ranks = np.asarray(arrays["ranks"])
    known = len(set(data.train.row(0)))
    assert ranks.max() <= 16 - known  # known items are not ranked, however often they occur
