from types import SimpleNamespace

import pytest

from robench.run.budgets import budget_notes


def cell(label="a", epsilon=0.05, norm="l2", scale="relative", status="planned"):
    row = SimpleNamespace(attack_label=label, epsilon=epsilon, norm=norm, scale=scale, status=status)
    return SimpleNamespace(threat="any", row=lambda: row)


@pytest.mark.parametrize(
    ("cells", "notes"),
    [
        ([cell()], []),
        ([cell(epsilon=5.0, norm="users")] * 2, ["a ε=5: 500% fake users; did you mean 0.05?"]),
        ([cell(epsilon=1.0, norm="users")], []),
        ([cell(epsilon=500.0, scale="absolute")], []),
        ([cell(status="skipped")], ["a fits no model of the suite: none of its cells can be measured"]),
        ([cell(status="skipped"), cell()], []),
    ],
)
def test_budgets_that_nobody_means_are_named(cells, notes):
    assert budget_notes(cells) == notes


def test_a_relative_budget_far_beyond_the_inputs_is_named():
    (note,) = budget_notes([cell(epsilon=500.0)])
    assert note.startswith("a ε=500: 500 times the size of an input")
