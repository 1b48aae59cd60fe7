"""Tests that labels from users are not read as markup in leaderboard.md."""

from tests.fakes import EMBEDDING, World, ranks

from robench.report.markdown import to_markdown


def test_a_bar_in_a_label_makes_no_column(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    world.cell(ranks(100, 99), model="m|f")
    world.cell(ranks(50, 99), model="m|f", attack="pgd", epsilon=0.05)
    lines = [line for line in to_markdown(world.build()).splitlines() if "f" in line and line.startswith("|")]
    assert any(r"m\|f" in line for line in lines)
    assert not any("m|f" in line for line in lines)
