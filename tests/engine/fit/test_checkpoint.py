"""Tests what the key of a checkpoint depends on.

The key changes with everything that can change the fit, and with nothing else.
"""

from dataclasses import replace

import pytest

from robench.engine.fit.checkpoint import identify_checkpoint, make_checkpoint_key
from robench.spec import Part, TargetChoice, Victim

PART = Part("x", {}, "x")
GIVEN = {
    "victim": Victim(PART, PART, PART, PART, 0, 1, TargetChoice(), None),
    "data_sha": "d",
    "train_sha": "t",
    "code": {"core": "c"},
    "device": "cpu",
    "outside": "",
}


def key(**changes):
    given = GIVEN | changes
    return make_checkpoint_key(identify_checkpoint(given.pop("victim"), **given))


@pytest.mark.parametrize(
    "change",
    [
        {"victim": replace(GIVEN["victim"], seed=1)},
        {"data_sha": "e"},
        {"train_sha": "e"},
        {"code": {"core": "e"}},
        {"device": "cuda"},
        {"outside": "weights"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_can_change_the_fit_changes_the_key(change):
    assert key(**change) != key() == key()


def test_a_label_changes_no_key():
    assert key(victim=replace(GIVEN["victim"], model=Part("x", {}, "another label"))) == key()
