"""Tests the sentences on what a board tested."""

from types import SimpleNamespace

import pytest

from robench.report.page.tested import write_tested


def cell(model, defence):
    key = SimpleNamespace(
        model=model, model_label=model, defense_label=defence, defended=defence != "none", place=("data", "split")
    )
    return SimpleNamespace(cell=SimpleNamespace(key=key, seed=0, threat=None, status="planned", baseline=False))


@pytest.mark.parametrize(
    ("defended", "words"),
    [
        ({"one": ("apr", "vat"), "two": ("apr", "vat")}, "without a defence and with 2 defences (apr, vat)."),
        ({"one": ("apr", "vat"), "two": ("apr",)}, "without a defence and with some of 2 defences (apr, vat)."),
        ({"one": ("apr", "vat"), "two": ()}, "without a defence; some also with 2 defences (apr, vat)."),
        ({"one": (), "two": ("apr",)}, "without a defence; some also with apr."),
        ({"one": (), "two": ()}, "without any defence."),
    ],
)
def test_a_board_does_not_claim_that_every_model_had_every_defence(defended, words):
    cells = [cell(model, name) for model, names in defended.items() for name in ("none", *names)]
    sentence, *_ = write_tested(SimpleNamespace(values=cells))
    assert sentence.startswith("This board compares 2 models (one, two) on data, split: ")
    assert sentence.endswith(f"each was fitted with 1 seed, {words}")
