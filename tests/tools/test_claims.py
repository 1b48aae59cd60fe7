"""Tests that ``tools/perf/claims.py`` rejects claims that the numbers refute."""

import numpy as np
from tools.perf.claims import against_noise, say


def measured(noise, attack):
    """Returns made-up values by (attack, ε), each float [3 seeds, 200 users]."""
    spread = np.random.default_rng(0).normal(0, 0.01, (3, 200))
    return {
        ("none", 0.0): 0.9 + spread,
        ("random-noise-l2", 0.05): noise + spread,
        ("pgd-l2", 0.05): attack + spread[::-1],
    }


def queries(noise, attack):
    return {("random-noise-l2", 0.05): [noise] * 3, ("pgd-l2", 0.05): [attack] * 3}


def test_a_claim_that_is_not_borne_out_counts_unless_it_is_known(capsys):
    assert say("mf above popularity", True) == 0
    assert say("mf above popularity", False) == 1
    assert say("mf bandwagon ε=0.05 lifts t-hr@10", False) == 0
    assert say("mf bandwagon ε=0.05 lifts t-percentile", False) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in said] == ["yes", "NO ", "no ", "NO "]


def test_noise_is_a_floor_only_with_as_many_evaluations():
    assert against_noise("mf", measured(0.8, 0.3), queries(22, 22)) == 0
    assert against_noise("mf", measured(0.8, 0.3), queries(21, 22)) == 1
    assert against_noise("mf", measured(0.3, 0.8), queries(22, 22)) == 1
