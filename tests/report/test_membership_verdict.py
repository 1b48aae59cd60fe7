"""Tests the sentences on which models hide their members."""

from types import SimpleNamespace

from robench.report.page.build import FINDINGS
from robench.report.page.guide import choose_terms
from robench.report.page.membership_verdict import build_membership_grid, write_membership_verdict
from robench.spec import RowKey
from robench.tables.membership import MembershipRow
from robench.tables.stats import Interval


def attacked(model, defence, auroc, *, attack="score", sees="scores", clean=0.4, told=None, dataset="d"):
    key = RowKey(dataset, "s", model, model, defence, defence, 1.0, None)
    spread = Interval(auroc, auroc - 0.05, auroc + 0.05)
    verdict = "told apart" if (spread.low > 0.5 if told is None else told) else "not shown"
    kept = None if clean is None else Interval(clean, clean - 0.01, clean + 0.01)
    return MembershipRow(key, attack, sees, 10, 10, spread, Interval(0, 0, 0), 3, verdict, "ndcg@10", kept)


def tables_of(rows, weak=()):
    notes = [SimpleNamespace(flag="not above popularity")]
    clean = [SimpleNamespace(key=row.key, notes=notes if row.key.defense_label in weak else []) for row in rows]
    return SimpleNamespace(membership=rows, clean=clean)


def test_the_defence_that_hides_members_and_keeps_most_is_named_with_its_cost():
    rows = [
        attacked("ease", "none", 0.99),
        attacked("ease", "strong", 0.51, clean=0.1),
        attacked("ease", "weak", 0.7, clean=0.39),
        attacked("ease", "middle", 0.54, clean=0.3),
    ]
    assert write_membership_verdict(tables_of(rows, weak=("middle",))) == [
        "**ease** gives away its members to score: AUROC .9900 [.9400, 1.0400], with clean ndcg@10 .4000. Of the "
        "defences under which these attacks tell nobody apart, middle keeps most: AUROC .5400 [.4900, .5900], with "
        "clean ndcg@10 .3000, which is not above popularity."
    ]


def test_one_attack_that_sees_through_is_enough_to_say_that_no_defence_hides():
    rows = [
        attacked("ease", "none", 0.9),
        attacked("ease", "noise", 0.5),
        attacked("ease", "noise", 0.58, attack="other"),
        attacked("ease", "less", 0.8),
    ]
    (said,) = write_membership_verdict(tables_of(rows))
    assert "Under every defence, an attack tells members apart. noise comes nearest to guessing: AUROC .5800" in said
    (_, grid), *_ = build_membership_grid(tables_of(rows))
    assert [(line[1], line[2]) for line in grid.body] == [("none", "score"), ("noise", "other"), ("less", "score")]


def test_an_attack_that_is_told_apart_counts_more_than_a_higher_mean():
    rows = [
        attacked("ease", "none", 0.56, attack="sure", told=True),
        attacked("ease", "none", 0.57, attack="unsure", told=False),
    ]
    (said,) = write_membership_verdict(tables_of(rows))
    assert said.startswith("**ease** gives away its members to sure:")


def test_attacks_on_popular_lists_do_not_count():
    rows = [attacked("ease", "none", 0.52), attacked("ease", "none", 0.98, sees="lists-popular")]
    (said,) = write_membership_verdict(tables_of(rows))
    ((caption, _),) = build_membership_grid(tables_of(rows))
    assert caption.endswith("except those that give non-members popular items"), "the page says what is left out"
    assert said == "**ease** is not shown to give away its members: AUROC .5200 [.4700, .5700] by score."


def test_models_on_several_data_sets_are_told_apart():
    rows = [attacked("ease", "none", 0.9, dataset="one"), attacked("ease", "none", 0.9, dataset="two", clean=None)]
    first, second = write_membership_verdict(tables_of(rows))
    assert first.startswith("**ease on one** gives away")
    assert second.endswith("without a clean value.")


def test_a_board_without_attacks_on_membership_says_nothing():
    assert write_membership_verdict(tables_of([])) == []
    assert build_membership_grid(tables_of([])) == []


def test_a_board_without_ranks_explains_no_ranks():
    names = [term.name for term in choose_terms(ranked=False, targets=False, private=True)]
    assert names == ["ndcg@10", "twin", "flags", "AUROC", "eps_dp"]
    assert {"λ", "p", "rank (range)"} <= {term.name for term in choose_terms(ranked=True, targets=False, private=False)}
    assert "Membership" in FINDINGS
