"""Tests the tables about defences that clean the training data."""

import json

import numpy as np
import pytest
from rich.console import Console
from tests.fakes import FAKES, POISONING, USERS, World

from robench.report.files import to_json
from robench.report.markdown import to_markdown
from robench.report.terminal import print_sections

CLEAN = {"real_users": 200, "fake_users": 0, "flagged_real": 6, "flagged_fakes": 0, "false_alarms": 0.03}
UNDEFINED = dict.fromkeys(("auroc", "average_precision", "precision", "recall"))
CAUGHT = {**CLEAN, "auroc": 0.9, "average_precision": 0.5, "precision": 0.25, "recall": 0.8, "known_attack": 1}
MISSED = {**CAUGHT, "auroc": 0.4, "precision": None, "recall": 0.0, "false_alarms": 0.01}
RANKS = {"target_ranks": [[3] * USERS] * 20}
FAKE_USERS = 4
# The last rows are fake users. With seed 0 all of them have the highest score, and with seed 1 the lowest.
SCORES = {seed: np.append(np.zeros(USERS), np.full(FAKE_USERS, 1.0 - 2 * seed)) for seed in (0, 1)}
FLAGGED = np.zeros(USERS + FAKE_USERS, dtype=np.int8)


def build(folder, *, adaptive="oblivious", choices=(0, 0), models=("mf", "ease"), detection=True):
    """Returns the tables of models with and without a defence, clean and poisoned.

    Args:
        folder: The folder for the results.
        adaptive: The value of the column ``adaptive`` in the poisoned cells.
        choices: The number of filter choices that the host has counted for each of the two seeds.
        models: The names of the models.
        detection: Whether the records of defended victims have the numbers of a detection.
    """
    world = World(folder, [POISONING])
    world.targets = {"count": 20, "pick": "all", "sets": 1}  # with fewer, no row has a rank
    for model in models:
        for seed in (0, 1):
            for weight, rank in ((1.0, 1), (0.5, 2)):
                found = {"detection": {**CLEAN, **UNDEFINED}} if detection and weight < 1 else {}
                world.cell([rank] * USERS, model=model, seed=seed, weight=weight, arrays=RANKS, **found)
                if found:
                    found = {"detection": CAUGHT if seed == 0 else MISSED}
                world.cell(
                    [rank + seed] * USERS,
                    model=model,
                    seed=seed,
                    weight=weight,
                    attack="bandwagon",
                    epsilon=0.05,
                    threat=FAKES,
                    adaptive=adaptive,
                    achieved={"fake_users": FAKE_USERS, "filter_choices": choices[seed]},
                    arrays={
                        "target_ranks": [[9 if weight < 1 else 2] * USERS] * 20,
                        **({"suspicion": SCORES[seed], "flagged": FLAGGED} if found else {}),
                    },
                    **found,
                )
    return world.build()


@pytest.fixture
def tables(tmp_path):
    return build(tmp_path)


def test_numbers_are_means_over_the_victims_that_define_them(tables):
    clean, poisoned = tables.detection
    assert (clean.attack_label, clean.epsilon, clean.victims, clean.models) == ("none", 0, 4, ("mf", "ease"))
    assert (clean.auroc, clean.precision, clean.known) == (None, None, False)
    assert clean.false_alarms == pytest.approx(0.03)
    assert (poisoned.defense_label, poisoned.attack_label, poisoned.epsilon) == ("at", "bandwagon", 0.05)
    assert poisoned.auroc == pytest.approx(0.65)
    assert poisoned.precision == 0.25, "nobody was flagged with the other seed"
    assert poisoned.recall == pytest.approx(0.4)
    assert poisoned.known


def test_the_curve_is_the_mean_over_victims_and_comes_from_the_stored_scores(tables):
    clean, poisoned = tables.detection
    assert clean.roc is None
    assert poisoned.roc == (*[0.5] * 100, 1.0), "found first with one seed, and last with the other"
    stored = json.loads(to_json(tables))["detection"]
    assert [row["roc"] for row in stored] == [None, [*[0.5] * 100, 1.0]]


def test_the_cost_is_the_difference_to_the_twin_on_clean_data(tables):
    (row,) = [r for r in tables.training_defences if r.key.model == "mf" and r.attack_label == "none"]
    assert (str(row.metric), row.seeds, row.twin) == ("ndcg@10", 2, 1.0)
    assert row.defended == pytest.approx(0.6309, abs=1e-4)
    assert row.difference.mean == pytest.approx(row.defended - row.twin)
    assert row.verdict == "falls"


def test_the_effect_is_the_difference_to_the_twin_under_the_same_attack(tables):
    rows = {str(r.metric): r for r in tables.training_defences if r.key.model == "mf" and r.attack_label == "bandwagon"}
    assert set(rows) == {"t-percentile", "t-hr@10", "ndcg@10"}
    assert rows["t-percentile"].difference.mean == pytest.approx(-7 / 99), "the defence keeps the target lower"
    assert (rows["t-hr@10"].twin, rows["t-hr@10"].defended) == (1.0, 1.0)
    assert rows["ndcg@10"].twin == pytest.approx((1 + 0.6309) / 2, abs=1e-4)


def test_the_leaderboard_and_the_terminal_show_the_detection(tables, capsys):
    text = to_markdown(tables)
    assert "| at" in text.partition("## Detection\n")[2].partition("\n## ")[0]
    assert "yes" in text.partition("## Detection\n")[2].partition("\n## ")[0]
    assert "falls" in text.partition("## Defences on the same training data\n")[2].partition("\n## ")[0]
    print_sections(tables, Console(width=200))
    assert "Detection" in capsys.readouterr().out


def test_without_a_detector_there_is_no_detection(tmp_path):
    tables = build(tmp_path, detection=False)
    assert tables.detection == []
    assert tables.training_defences
    assert "## Detection" not in to_markdown(tables)


def test_a_filter_that_no_attack_aims_at_has_no_rank(tmp_path):
    # The host's count decides, whatever the attack says about itself, and every seed must have it.
    for adaptive, choices, flagged in (
        ("oblivious", (0, 0), True),
        ("yes", (0, 0), True),
        ("yes", (1, 1), True),
        ("yes", (2, 0), True),
        ("yes", (2, 5), False),
    ):
        (table,) = build(tmp_path / f"{adaptive}{choices}", adaptive=adaptive, choices=choices).leaderboard
        rows = {row.key.defended: row for row in table.rows if row.key.model == "mf"}
        assert ("filter not attacked" in rows[True].flags) == flagged
        assert "filter not attacked" not in rows[False].flags
        assert rows[False].rank is not None
        assert (rows[True].rank is None) == flagged


def test_a_row_without_a_twin_or_without_poisoning_is_left_out(tmp_path):
    world = World(tmp_path, [])
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed)
        world.cell([2] * USERS, seed=seed, weight=0.5)
        world.cell([2] * USERS, seed=seed, weight=0.5, model="lonely", detection={**CLEAN, **UNDEFINED})
    tables = world.build()
    assert tables.training_defences == []
    assert len(tables.detection) == 1
