"""Ranks the rows of a table and tests defended rows against their twins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robench.store.plan_file import PlannedTable
from robench.tables.results import Results, grouped
from robench.tables.rows import Flag, Row
from robench.tables.stats import Estimate, adjust_p_values, compute_rank_ranges, estimate_mean
from robench.tables.verdicts import write_verdict


def rank_rows(rows: Sequence[Row], results: Results, table: PlannedTable) -> None:
    """Sets the ranks, the p-values and the verdicts of rows.

    Rows are compared by ``Row.compared``: the worst case, or its shift from the clean value if targets are poisoned.
    A p-value compares a defended row with its undefended twin, on at least two common seeds. The p-values are adjusted
    by Holm's method over the defended rows of the table. A row that lacks an attack of its table has no rank and no
    p-value. No other row is tested against it. A row is marked ``blind`` if the attacks may have hurt its victims less
    than they could. If a row or its twin is blind, the row has no p-value, but its test still counts in the adjustment.
    Otherwise, the number of tests would depend on their outcomes. An unranked row has no verdict, unless it is unranked
    only because no seed is common to the rows.
    """
    higher = results.metric(table.metric).prefers_high(table.threat)
    _test(rows, higher_is_better=higher)
    ranked = [row for row in rows if row.ranked and row.worst is not None]
    across = table.threat.ranks_models
    for group in grouped(ranked, lambda row: None if across else row.key.model_key).values():
        _rank(group, higher_is_better=higher)


def _test(rows: Sequence[Row], *, higher_is_better: bool) -> None:
    whole = [row for row in rows if row.worst is not None and not row.missing]
    twins = {row.key.model_key: row for row in whole if not row.defended}
    tested: list[tuple[Row, Row, Estimate]] = []
    for row in whole:
        twin = twins.get(row.key.model_key)
        if row.defended and twin is not None and row.compared is not None and twin.compared is not None:
            common = [seed for seed in row.seeds if seed in twin.seeds]
            if len(common) > 1:
                mine = np.stack([row.compared[row.seeds.index(seed)] for seed in common])
                other = np.stack([twin.compared[twin.seeds.index(seed)] for seed in common])
                tested.append((row, twin, estimate_mean(mine - other)))
    adjusted = adjust_p_values([gap.compute_p() for *_, gap in tested])
    for (row, twin, gap), p in zip(tested, adjusted, strict=True):
        if row.blind or twin.blind:
            continue
        row.p_value = p
        if row.ranked:
            unit = "targets" if row.items else "users"
            row.verdict = write_verdict(gap, p, len(tested), unit, higher_is_better=higher_is_better)


def _rank(group: Sequence[Row], *, higher_is_better: bool) -> None:
    """Ranks rows on the seeds that all of them have.

    If there is no such seed, no row has a rank, and each row gets a flag. Otherwise, a row gets a flag if it also has
    other seeds.
    """
    seeds = set.intersection(*(set(row.seeds) for row in group))
    if not seeds:
        why = "each of the rows has seeds in which every attack was measured, but no seed has this for all rows"
        for row in group:
            row.ranked = False
            row.notes.append(Flag("unranked: no seed is common to the rows", why, {"seeds": len(row.seeds)}))
        return
    for row in group:
        if len(seeds) < len(row.seeds):
            name = f"ranked on {len(seeds)} of {len(row.seeds)} seeds"
            why = "another row lacks seeds that this row has, and ranks compare rows on the same seeds"
            row.notes.append(Flag(name, why, {"seeds": len(seeds)}))
    chosen = [
        np.stack([values[i] for i, seed in enumerate(row.seeds) if seed in seeds])
        for row in group
        if (values := row.compared) is not None
    ]
    for row, ranks in zip(group, compute_rank_ranges(chosen, higher_is_better=higher_is_better), strict=True):
        row.rank = ranks
