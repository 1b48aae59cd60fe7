import math

import pytest
import torch
from tests.plugins.defenses.first_step import RecordingStep, first_step

from robench.api import Batch, Losses
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence
from robench_plugins.defenses.vat import Vat, vulnerability


class TestVat(DefenseTests):
    defense = Vat
    settings = {"epsilon": 0.2}


class TestVatLinf(DefenseTests):
    defense = Vat
    settings = {"epsilon": 0.2, "norm": "linf", "shortcut": False}


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def vulnerabilities(users, values, rows):
    """Returns the vulnerability of each row of a batch.

    Args:
        users: the user of each row, or −1.
        values: the losses.
        rows: the row of each loss.
    """
    batch = Batch(torch.tensor(users), torch.empty(len(users), 0, dtype=torch.int64))
    return vulnerability(Losses(torch.tensor(values), torch.tensor(rows)), batch).tolist()


def test_users_below_the_mean_loss_are_more_vulnerable():
    """User 7 has the loss L = (1 + 3) / 2 = 2, and user 2 has the loss L = 1.

    The mean is 1.5. The vulnerabilities are σ(−.5 / 2) and σ(.5 / 1).
    """
    values = vulnerabilities([7, 2, 7], [1.0, 1.0, 3.0], [0, 1, 2])
    assert values == pytest.approx([sigmoid(-0.25), sigmoid(0.5), sigmoid(-0.25)])


def test_a_window_without_a_user_counts_as_a_user():
    """The first row has the losses 2 and 4, the second has 1, and the third has none.

    The mean losses of the first two rows are 3 and 1, and the mean of these two is 2. So the vulnerabilities are
    σ((2 − 3) / 3) and σ((2 − 1) / 1). A row without losses has 0.
    """
    values = vulnerabilities([-1, -1, -1], [2.0, 4.0, 1.0], [0, 0, 1])
    assert values == pytest.approx([sigmoid(-1 / 3), sigmoid(1.0), 0.0])


def test_equal_losses_get_half_and_a_loss_of_zero_gets_all():
    assert vulnerabilities([0, 1], [0.7, 0.7], [0, 1]) == pytest.approx([0.5, 0.5])
    assert vulnerabilities([0, 1], [0.0, 1.0], [0, 1]) == pytest.approx([1.0, sigmoid(-0.5)])


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
def test_a_row_moves_by_its_own_share_of_the_budget(kind, norm):
    step = first_step(kind, RecordingStep, ragged=True)
    Vat.make(epsilon=0.3, norm=norm).loss(step)
    e = step.embed()
    (part,) = step.delta.values()
    size = part.flatten(1).norm(dim=1) if norm == "l2" else part.flatten(1).abs().amax(1)
    share = vulnerability(step.losses(e), step.batch)
    assert share.std() > 1e-4
    torch.testing.assert_close(size, share * step.ball(e, 0.3, norm).radius, rtol=1e-4, atol=1e-7)
    assert step.achieved["epsilon_share"] == pytest.approx(1, abs=1e-5)
    assert step.achieved["epsilon_mean"] == pytest.approx(float(0.3 * share.mean()))
    assert float(share.max()) < 1
