"""Says what to do about a ranking table in which no row has a rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from robench.report.headline import NO_ATTACK, RANKLESS, UNRANKED
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable


class Step(NamedTuple):
    """Something that may give rows a rank.

    Args:
        many: what to do if attacks harm all items.
        few: what to do if attacks promote some items, or an empty string if it is the same.
    """

    many: str
    few: str = ""


STEPS: Mapping[str, Step] = {
    "not above popularity": Step("train longer (`epochs`), or find better settings with `robench tune`"),
    "low power": Step(
        "evaluate more users, on more data if necessary: clean lists must hit at least 50 of them",
        "promote more items (`targets`) to more users: at least 20 items, 3 titles and 50 users",
    ),
    "gaps not judged": Step("add `ndcg@10` to `metrics`"),
    "filter not attacked": Step("add an attack that is made through the filter (`evade: true`)"),
    "budget not spent": Step("choose an attack that adds fake users"),
    "not checked": Step("measure the cells again with `robench run`"),
    "random without a declaration": Step("declare `stochastic = True` in the class of the model"),
    NO_ATTACK: Step("measure the missing cells with `robench run`, or give the table another `epsilon`"),
    UNRANKED: Step("measure the missing attacks with `robench run`, or leave them out of the suite"),
}
OTHER = "read what the flag {} means in the reference of results"


def suggest_steps(table: LeaderboardTable) -> str:
    """Returns a sentence on how rows may get a rank.

    The reasons of most rows come first. The sentence is empty if a row has a rank.
    """
    unranked = [row for row in table.rows if not row.is_baseline]
    if not unranked or any(row.rank is not None for row in table.rows):
        return ""
    reasons = [reason for row in unranked for reason in _reasons(row)]
    ordered = sorted(dict.fromkeys(reasons), key=reasons.count, reverse=True)
    steps = dict.fromkeys(_step(reason, promoted=table.threat.goal != "untargeted") for reason in ordered)
    return f"To get a rank: {'; '.join(steps)}."


def _reasons(row: LeaderboardRow) -> list[str]:
    """Returns the reasons why a row has no rank.

    All flags about missing attacks are one reason.
    """
    names = (UNRANKED if note.flag.startswith(UNRANKED) else note.flag for note in row.notes)
    return [name for name in dict.fromkeys(names) if name in RANKLESS or name == UNRANKED] or [NO_ATTACK]


def _step(reason: str, *, promoted: bool) -> str:
    """Returns what to do about one reason."""
    step = STEPS.get(reason)
    if step is None:
        return OTHER.format(f"`{reason}`")
    return step.few if promoted and step.few else step.many
