"""Defines and explains the columns of a ranking table on the page."""

from __future__ import annotations

from dataclasses import dataclass

from robench.api.metric import Measure
from robench.report.leaderboard import build_leaderboard_grid, shows_best_known
from robench.tables.leaderboard import LeaderboardTable

WORST_CASE = ("rank", "model", "defence", "clean", "worst", "change", "flags")  # the columns of the preset "worst case"

# Widths in rem. The column of verdicts of every table ends within a screen of 1280 px.
LETTER, WIDEST = 0.08, 11.0  # of flags: per letter, and at most
VERDICT, BESIDE_CONTROL = 17.6, 12.0  # of verdicts: without and with the column of the null control


@dataclass(frozen=True)
class Column:
    """A column of a ranking table on the page.

    Args:
        key: the name of the column in the address of the page.
        head: the text of the header.
        meaning: a sentence that explains the values.
        numeric: whether the column holds numbers.
        width: the minimum width in rem of a column with long texts, or 0.
        extra: whether the column is hidden until the reader chooses it.
    """

    key: str
    head: str
    meaning: str
    numeric: bool = False
    width: float = 0
    extra: bool = False


def build_columns(table: LeaderboardTable, measures: list[Measure]) -> list[Column]:
    """Returns the columns of a ranking table.

    The columns of ``build_leaderboard_grid`` come first. They are followed by two columns for each measure.

    Args:
        table: the ranking table.
        measures: the measures other than the metric of the table.
    """
    meanings, numeric = _explain(table), ("rank", "clean", "worst", "known", "change", "control", "p", "hit")
    heads = build_leaderboard_grid(table).head
    flags = max((len(row.flags) for row in table.rows), default=0)
    widths = {
        "defence": 8.5,
        "flags": min(max(flags * LETTER, 5.5), WIDEST),
        "verdict": BESIDE_CONTROL if table.targets else VERDICT,
    }
    judged = any(row.verdict for row in table.rows)
    columns = [
        Column(key, head, meaning, key in numeric, widths.get(key, 0), extra=key == "verdict" and not judged)
        for (key, meaning), head in zip(meanings.items(), heads, strict=True)
    ]
    for measure in measures:
        clean = f"The mean {measure} without an attack, over seeds and users."
        worst = f"The mean {measure} under the attack of the table that harms the ranking metric most, over seeds."
        columns.append(Column(f"{measure}:clean", f"clean {measure}", clean, numeric=True, extra=True))
        columns.append(Column(f"{measure}:attacked", f"attacked {measure}", worst, numeric=True, extra=True))
    return columns


def _explain(table: LeaderboardTable) -> dict[str, str]:
    """Returns a sentence for each column of ``build_leaderboard_grid``, by key."""
    among = "all rows" if table.threat.ranks_models else "the rows of one model"
    if table.rise:
        worst = "The mean under the attack, with its 95% interval. Attacks raise this metric, so a low value is good."
        change = "Attacked minus clean. A small rise is good."
    else:
        worst = f"The mean under the worst outcome of the attacks within ε ≤ {table.epsilon:g}, with its 95% interval."
        change = "1 − worst case / clean: the share of the clean value that the attacks take away."
    control = {"control": "The interval of the shift that retraining alone would cause."} if table.targets else {}
    known = {"known": "The mean with external attacks, which strangers have found. No rank depends on it."}
    by = "shift" if table.targets else "worst case"
    if table.targets:
        change = "Attacked minus clean, paired, with its 95% interval. Ranks, p and verdicts compare this shift."
    return {
        "rank": f"The place among {among} by the {by}. The brackets hold every rank that the data allow.",
        "model": "The recommender. popularity is the baseline that a model must beat.",
        "defence": "How the model was defended; none is the undefended twin. λ is the weight of the clean loss.",
        "clean": "The mean without an attack, over users and seeds, with its 95% interval.",
        "worst": worst,
        **(known if shows_best_known(table) else {}),
        "change": change,
        **control,
        "p": "The p-value of the difference from the undefended twin, paired, and adjusted by Holm's method.",
        "hit": f"Users with a held-out item in the clean top {table.hit_k}. Only these users can be hurt.",
        "flags": "Warnings that are computed from the cells. A row without a rank shows nothing about robustness.",
        "verdict": "What the row shows against its undefended twin, with the difference and its 95% interval.",
    }
