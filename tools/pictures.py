"""Draws the pictures of the documentation from committed results.

    python tools/pictures.py

The charts are those of the report. The only picture is docs/images/leaderboard.svg. It shows every neural model of
results/models, clean and under PGD.
"""

import json
from pathlib import Path

from robench.api.codec import decode
from robench.report.blocks import LeaderboardChart, Section
from robench.report.charts import draw_charts
from robench.tables.leaderboard import LeaderboardTable

ROOT = Path(__file__).resolve().parents[1]
LEADERBOARD = ROOT / "docs" / "images" / "leaderboard.svg"
PAPER = '<rect width="100%" height="100%" fill="white"/>'  # for black text of the transparent chart on a dark page


def leaderboard() -> str:
    """Returns the chart of the first table in results/models as SVG.

    This table shows the attacks in L2 at ε = 0.05.
    """
    tables = json.loads((ROOT / "results" / "models" / "leaderboard.json").read_text("utf-8"))["tables"]
    ((_, svg),) = draw_charts(Section("leaderboard", [], LeaderboardChart(decode(LeaderboardTable, tables[0]))))
    head, mark, rest = svg.partition(">")
    return f"{head}{mark}{PAPER}{rest}\n"


def main() -> None:
    """Writes every picture to docs/images."""
    LEADERBOARD.parent.mkdir(exist_ok=True)
    LEADERBOARD.write_text(leaderboard(), "utf-8")
    print(LEADERBOARD.relative_to(ROOT))


if __name__ == "__main__":
    main()
