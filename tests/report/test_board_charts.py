"""Tests charts, bars, the verdict and the further metrics of a ranking table."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.fakes import EMBEDDING, USERS, World, ranks

from robench.report.board_charts import MOST_LINES, build_curve_panels, build_front_panels, find_front
from robench.report.page.board import build_boards
from robench.report.page.details import group_points, make_context
from robench.report.page.headlines import build_headlines
from robench.report.page.heat import SHADES, build_heat_maps
from robench.spec import TargetChoice


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("w") / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(5, 99), model="popularity", seed=seed)
        for model, kept in (("mf", 50), ("lstm", 100)):
            world.cell(ranks(150, 99), model=model, seed=seed)
            world.cell(ranks(kept, 99), model=model, seed=seed, attack="pgd", epsilon=0.05)
            world.cell(ranks(kept + 20, 99), model=model, seed=seed, attack="pgd", epsilon=0.01)
            for weight in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
                clean, left = 150 - round(100 * weight), kept + round(50 * weight)
                settings = {"model": model, "seed": seed, "weight": weight}
                world.cell(ranks(clean, 99), **settings)
                world.cell(ranks(left, 99), attack="pgd", epsilon=0.05, **settings)
                world.cell(ranks(left + 5, 99), attack="pgd", epsilon=0.01, **settings)
    return world.build()


def values(panel):
    """Returns the rows of data of a panel and of its layers."""
    data = [*panel["datasets"].values()] if "datasets" in panel else []
    layers = [panel, *panel["layer"]]
    return [*data, *(layer["data"]["values"] for layer in layers if "values" in layer.get("data", {}))]


def test_a_panel_has_at_most_six_lines_and_each_has_its_name_at_its_end(tables):
    caption, panels = build_curve_panels(tables.leaderboard[0], tables.page_values[0])
    assert [panel["title"]["text"] for panel in panels] == ["mf", "lstm"]
    for panel in panels:
        points = next(rows for rows in values(panel) if "low" in rows[0])
        lines = {row["line"] for row in points}
        assert len(lines) == MOST_LINES
        assert "none" in lines, "the twin is always shown"
        left_out = "at λ=0.1" if panel["title"]["text"] == "mf" else "at λ=0.6"
        assert left_out not in lines, "the worst defended row is left out"
        names = next(rows for rows in values(panel) if "short" in rows[0])
        assert {row["short"] for row in names} == lines
        heights = sorted(row["y"] for row in names)
        assert min(b - a for a, b in pairwise(heights)) > 0
    assert "the table has the others" in caption


def test_the_front_holds_the_rows_that_no_other_row_beats(tables):
    (table,) = tables.leaderboard
    rows = [row for row in table.rows if row.key.model_label == "mf"]
    front = find_front(rows)
    assert {row.key.lambda_ for row in front} == {1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, "each trades one for the other"
    worse = replace(rows[0], clean=0.0, worst=0.0)
    assert worse not in find_front([*rows, worse])
    _, panels = build_front_panels(table)
    assert len(panels) == 2


def test_the_front_says_which_models_have_a_panel_and_that_no_clean_value_of_targets_is_better(tables):
    (table,) = tables.leaderboard
    caption, panels = build_front_panels(table)
    assert "one panel per model with at least three attacked rows. The right and the top are better" in caption
    assert len(panels[0]["layer"]) == 3
    promoted = replace(table, rise=True, threat=replace(table.threat, goal="promote"))
    demoted = replace(table, threat=replace(table.threat, goal="demote"))
    for targeted, side in ((promoted, "left"), (demoted, "right")):
        caption, panels = build_front_panels(targeted)
        assert (
            f"against the attacked value, one panel per model with at least three attacked rows. The {side} is"
            in caption
        )
        assert "top" not in caption
        assert len(panels[0]["layer"]) == 2, "no line joins rows that are better in both values"
        shifted = replace(targeted, targets=TargetChoice(count=1, sets=1, pick="all"))
        assert "the attacked value less the clean one" in build_front_panels(shifted)[0]


def test_the_heat_map_has_the_share_that_each_attack_leaves(tables):
    (heat,) = build_heat_maps(tables, group_points(tables))
    assert [*heat.models] == ["mf", "lstm"]
    found = {name: [(cell.text, cell.shade) for cell in cells] for name, cells in heat.lines}
    share = {"mf": 50 / 150, "lstm": 100 / 150}
    assert found["pgd, ε = 0.05"] == [(f"{100 * kept:.0f}%", round(SHADES * (1 - kept))) for kept in share.values()]


def test_the_verdict_names_the_best_row_of_each_model_its_cost_and_what_nobody_survives(tables):
    (headline,) = build_headlines(tables)
    text = " ".join(headline.sentences)
    assert "8 of 12 defended rows gain" in text
    assert "At ε = 0.05, 11 of 14 ranked rows keep half" in text
    assert "mf without a defence keeps least, 33%" in text
    (_, best), (_, costs) = headline.grids
    lines = {line[0]: line for line in best.body}
    assert lines["mf"][1] == "at λ=0.6"
    assert lines["mf"][3:7] == [".4500", ".7500", ".4000", ".2500"], "clean and attacked, each beside the twin"
    (line,) = (line for line in costs.body if line[0] == "at λ=0.6")
    assert line[1:3] == ["2", f"-{60 / USERS:.4f} (-.3000 to -.3000)".replace("0.", ".")]


def test_the_bar_of_a_row_ends_at_its_attacked_and_its_clean_value(tables):
    (board,) = build_boards(tables, make_context(tables))
    bars = {line.name: line.bar for line in board.lines}
    assert bars["mf, none"] == pytest.approx((100 * 50 / 150, 100), abs=0.1)
    assert bars["lstm, none"] == pytest.approx((100 * 100 / 150, 100), abs=0.1)


def test_further_metrics_are_those_of_the_attack_that_harms_most(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    top = np.tile(np.arange(10), (USERS, 1))
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, arrays={"top": top})
        world.cell(ranks(120, 99), seed=seed, attack="fgsm", epsilon=0.05, arrays={"top": top})
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05, arrays={"top": top + 10})
    (board,) = build_boards(tables := world.build(), make_context(tables))
    (line,) = board.lines
    cells = dict(zip([column.key for column in board.columns], line.cells, strict=True))
    assert cells["rbo@10:attacked"] == ".0000"
