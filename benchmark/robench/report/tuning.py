"""Builds the section that shows how settings were chosen."""

from __future__ import annotations

from robench.api.errors import counted
from robench.report.blocks import Block, Bullets, Section
from robench.spec import TRIALS_FILE
from robench.tables.build import Tables


def build_tuning_section(tables: Tables) -> Section | None:
    """Returns the section on the search for settings.

    The result is None if the suite names no trials.
    """
    tuned = tables.tuned
    if tuned is None:
        return None
    seeds = f"fits with seed {tuned.seed}, search with seed {tuned.search_seed}"
    what = ", ".join(tuned.chosen) or "no component"
    text = (
        f"Chosen by validation NDCG@10 alone, with {counted(tuned.trials, 'trial')} for each ({seeds}): {what}. "
        f"`{TRIALS_FILE}` holds every trial."
    )
    rest = [f"{label}: not tuned ({reason})." for label, reason in tuned.untuned.items()]
    blocks: list[Block] = [text, *([Bullets(rest)] if rest else [])]
    return Section("Tuning", blocks)
