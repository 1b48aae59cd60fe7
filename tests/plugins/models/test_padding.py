import numpy as np
import pytest
import torch

from robench.api import Batch, Rng
from robench.testing.worlds import crowd, reference_victim
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.sasrec import SasRec


@pytest.mark.parametrize("kind", [Lstm, Gru4Rec, SasRec, Bert4Rec])
def test_more_padding_changes_no_score(kind):
    model = kind.make(dim=8, max_length=20)
    data, _ = crowd(n_users=10)
    model.initialise(data, Rng(0))
    model.eval()
    batch = model.queries(np.arange(10), data.train)
    wide = Batch(batch.users, torch.nn.functional.pad(batch.histories, (0, 3), value=data.n_items))
    with torch.no_grad():
        one, two = (model.score_from(b, model.embed(b)) for b in (batch, wide))
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_chunks_change_no_random_start():
    (whole,) = reference_victim("sequence").surface("embedding").oracles(k=10)
    part = whole.rows(torch.tensor([4, 17]))
    for kind in ("normal", "uniform"):
        one, two = (getattr(oracle, kind)(Rng(3))["items"] for oracle in (whole, part))
        assert torch.equal(one[[4, 17]], two)
