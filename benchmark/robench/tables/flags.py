"""Computes the flags of a row from its cells.

Each flag comes with its numbers and with a sentence that explains the flag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from robench.api.data import FloatArray
from robench.api.metric import Measure
from robench.api.surfaces import SURFACES
from robench.spec import CellRow
from robench.store.plan_file import PlannedTable
from robench.store.record import ENSEMBLE
from robench.tables.checks import flag_checks
from robench.tables.comparisons import (
    GRADIENT,
    LEAST_GAP,
    compare_attacks,
    make_held_out_yardstick,
    make_promotion_yardsticks,
)
from robench.tables.detection import count_filter_choices, detects
from robench.tables.diagnoses import (
    flag_additivity,
    flag_budgets,
    flag_devices,
    flag_gradients,
    flag_noise,
    flag_reruns,
    flag_rounding,
    flag_single_draws,
    flag_trained,
    flag_unspent,
)
from robench.tables.members import compare_members
from robench.tables.results import Results, grouped
from robench.tables.rows import FROZEN, Flag, Row
from robench.tables.stats import Interval, compute_interval

# A row loses its rank if an ensemble gets one of these flags for its members.
BLIND = ("no better than random", "black-box beats white-box")
LEAST_HITS = 50  # the number of hit users below which a gap cannot be judged
HIT_K = 10  # the cutoff of hits if the reference measure has none
LEAST_ITEMS = 3  # the number of rewritten titles below which a gap cannot be judged
LEAST_TARGETS = 20  # the number of target items below which a row has no rank
LEAST_CHOICES = 2  # with fewer sets of fake users, an attack has not chosen by a filter


def set_flags(
    results: Results,
    row: Row,
    reference: Measure | None,
    popularity: Mapping[int, FloatArray],
    table: PlannedTable | None = None,
) -> None:
    """Sets the flags of a row.

    The baseline gets only flags about missing cells, failed second runs and single seeds.

    Args:
        results: the results of the folder.
        row: the row, which receives the flags.
        reference: the measure in which untargeted attacks are compared. If it is None, their gaps cannot be judged, and
            an attacked row has no rank.
        popularity: the clean values of the baseline in ``reference``, float64 [users], by seed. The mapping may be
            empty.
        table: the table of the row, or None. Only attacks with its threat model are judged. Without a table, all
            attacks at test time are judged.
    """
    row.notes += _completeness(row)
    row.notes += flag_reruns(results, row, table)
    if row.baseline:
        return
    if FROZEN in row.adaptive.split(", "):
        why = "an attack was made against another pipeline, so the row is unranked"
        row.notes.append(Flag("frozen attack", why, {}))
    row.notes += _unattacked_filter(results, row, table)
    below = _not_above_popularity(results, row, reference, popularity) if reference else None
    if below is not None:
        row.ranked = False
        row.notes.append(below)
    row.notes += flag_devices(results, row)
    row.notes += flag_noise(results, row)
    cells = [cell for cell in results.by_row[row.key] if cell.stage == "test" and results.ok(cell)]
    cells = [cell for cell in cells if table is None or cell.threat == table.threat]
    row.notes += flag_budgets(results, cells)
    row.notes += flag_gradients(results, row, cells)
    row.notes += flag_additivity(results, row, cells)
    row.notes += flag_checks(results, row, cells)
    row.notes += flag_trained(results, row, cells)
    row.notes += flag_rounding(results, row, table)
    row.notes += flag_unspent(results, row, table)
    row.notes += flag_single_draws(results, cells)
    if table is not None and table.threat.goal != "untargeted":
        row.notes += _few_targets(row)
        row.notes += _promoted_gaps(results, row, cells, table.threat.surface)
    elif table is None or table.threat.goal == "untargeted":
        row.notes += _gaps(results, row, cells, reference) if reference else _unjudged(row, cells)


def _completeness(row: Row) -> Iterator[Flag]:
    if row.measured < row.planned:
        why = "some planned cells failed or are missing; the row stands on the others"
        numbers = {"planned": row.planned, "measured": row.measured}
        yield Flag(f"incomplete: {row.measured} of {row.planned} cells", why, numbers)
    for sentence in row.missing:
        why = "a row is ranked only on seeds that have every attack of its table, and none has them all"
        yield Flag(f"unranked: {sentence}", why, {"seeds": len(row.seeds)})
    if len(row.seeds) == 1:
        why = "one fit says nothing about the spread between fits, so there is no p-value and no verdict"
        yield Flag("one seed", why, {"seeds": 1})


def _unattacked_filter(results: Results, row: Row, table: PlannedTable | None) -> Iterator[Flag]:
    """Yields a flag if no attack was made through the filter of a row's defence.

    The row then has no rank and no p-value. Only tables of attacks at training time have this flag. The flag does not
    depend on what an attack reports, because ``count_filter_choices`` reads the host's own counts.
    """
    if table is None or table.threat.stage != "train":
        return
    cells = results.by_row[row.key]
    if detects(results, cells) and (choices := count_filter_choices(results, table, cells)) < LEAST_CHOICES:
        why = "no attack was made through the defence's filter, and one that evades it may do more, so it is unranked"
        row.distrust()
        yield Flag("filter not attacked", why, {"adaptive": row.adaptive, "filter_choices": choices})


def _not_above_popularity(
    results: Results, row: Row, reference: Measure, popularity: Mapping[int, FloatArray]
) -> Flag | None:
    """Returns a flag if a row's clean values do not exceed those of the baseline.

    The result is None if the row exceeds the baseline, if there is no baseline, or if the row and the baseline have no
    seed in common.
    """
    if not popularity:  # The suite may have no baseline.
        return None
    clean = _clean_values(results, row, reference)
    gaps = [values - popularity[seed] for seed, values in clean.items() if seed in popularity]
    if not gaps:
        return None
    gap = compute_interval(np.stack(gaps))
    if gap.low > 0:
        return None
    why = (
        f"its clean {reference} does not clear popularity's (95% interval of the paired difference), so it is unranked"
    )
    return Flag("not above popularity", why, _numbers(gap))


def _gaps(results: Results, row: Row, cells: Sequence[CellRow], reference: Measure) -> Iterator[Flag]:
    """Yields a flag for each attack that is weaker than it should be.

    A gap counts if its 95% interval is above 0, and its mean exceeds ``Comparison.least`` (2%, or 10% for a search that
    tries edits of histories) of the value with which it is compared. For attacks this is the clean value, and for
    members of ensembles it is ``Comparison.level``.

    Other flags report attacks that raise the host's loss but hardly change ranks.

    If fewer than 50 users are hit within the cutoff of ``reference``, the only flag says that no gap between attacks is
    judged, and the row has no rank and no p-value.
    """
    clean = float(np.mean([np.nanmean(values) for values in _clean_values(results, row, reference).values()]))
    hits = row.hits(results, reference.k or HIT_K)
    if hits < LEAST_HITS and cells:
        why = f"fewer than {LEAST_HITS} users are hit at clean, so no gap between attacks is judged"
        row.distrust()
        yield Flag("low power", why, {"users_hit": hits})
        return
    for name, why, gap, _, least in compare_attacks(results, cells, make_held_out_yardstick(results, reference)):
        if gap.low > 0 and gap.mean > least * clean:
            yield Flag(name, why, {**_numbers(gap), "clean": clean})
    for name, why, gap, level, least in compare_members(results, cells, clean):
        if gap.low > 0 and gap.mean > least * level:
            # The ensemble's gradient attacks are known to work. The rank of a victim that blinds them means nothing.
            if name in BLIND:
                row.distrust()
            yield Flag(name, why, {**_numbers(gap), "level": level})
    yield from _idle_losses(results, row, cells, reference, clean)


def _unjudged(row: Row, cells: Sequence[CellRow]) -> Iterator[Flag]:
    """Yields a flag if no metric of the suite can compare attacks on a row."""
    if cells:
        why = "the suite has no metric that judges each user by the ranks of held-out items, so no gap is judged"
        row.distrust()
        yield Flag("gaps not judged", why, {})


def _promoted_gaps(results: Results, row: Row, cells: Sequence[CellRow], surface: str) -> Iterator[Flag]:
    """Yields a flag for each attack that promotes items less than it should.

    A gap is a mean over the promoted items, with an interval over seeds and items. It is compared with the value that
    the stronger attack reaches, because the clean value is close to 0. All users who lack a promoted item count, even
    if none of their held-out items is in the clean top k. If fewer than 50 users or 3 rewritten titles can be judged,
    the only flag says so, and the row has no rank and no p-value.
    """
    ranks = {
        (cell.seed, cell.target_set): array
        for cell in cells
        if (array := results.arrays(cell).get("target_ranks")) is not None
    }
    if not ranks:
        return
    reachable = min(int((array > 0).any(0).sum()) for array in ranks.values())
    items = max(sum(len(array) for (seed, _), array in ranks.items() if seed == one) for one, _ in ranks)
    if reachable < LEAST_HITS:
        why = f"fewer than {LEAST_HITS} users are without a promoted item, so no gap between attacks is judged"
        row.distrust()
        yield Flag("low power", why, {"users": reachable})
        return
    if SURFACES[surface].each_item_alone and items < LEAST_ITEMS:
        why = f"fewer than {LEAST_ITEMS} titles are rewritten, so no gap between attacks is judged"
        row.distrust()
        yield Flag("low power", why, {"items": items})
        return
    by_hits, by_gains = (compare_attacks(results, cells, one) for one in make_promotion_yardsticks(results, surface))
    for (name, why, gap, left, _), gain in zip(by_hits, by_gains, strict=True):
        if gap.low > 0 and gain.gap.low > 0 and gap.mean > LEAST_GAP * -left:
            yield Flag(name, why, {**_numbers(gap), "reached": -left})


def _few_targets(row: Row) -> Iterator[Flag]:
    """Yields a flag if a metric of target items is a mean over few items.

    Then the row has no rank and no p-value.
    """
    targets = row.clean.shape[1]
    if row.items and targets < LEAST_TARGETS:
        why = f"fewer than {LEAST_TARGETS} items are promoted, and other items may fare differently, so it is unranked"
        row.distrust()
        yield Flag("low power", why, {"targets": targets})


def _idle_losses(
    results: Results, row: Row, cells: Sequence[CellRow], measure: Measure, clean: float
) -> Iterator[Flag]:
    """Yields flags for attacks that raise the host's loss but hardly change ranks.

    Only gradient attacks and ensembles are considered. An attack is flagged if it raises the loss by more than a tenth
    of the mean clean loss, but lowers ``measure`` by less than 2% of ``clean``. The rise must also be significant.
    """
    before = {cell.seed: results.per_user(cell, measure) for cell in results.clean_cells(row.key)}
    climbers = [cell for cell in cells if cell.kind in (GRADIENT, ENSEMBLE)]
    for (label, epsilon), group in grouped(climbers, lambda cell: (cell.attack_label, cell.epsilon)).items():
        rises, falls = [], []
        for cell in sorted(group, key=lambda cell: cell.seed):
            arrays, first, now = results.arrays(cell), before.get(cell.seed), results.per_user(cell, measure)
            if first is None or now is None:
                continue
            rises.append(arrays["loss"].astype(float) - arrays["clean_loss"])
            falls.append(first - now)
        if not rises or epsilon == 0:
            continue
        rise, fall = compute_interval(np.stack(rises)), compute_interval(np.stack(falls))
        level = float(np.mean([results.arrays(cell)["clean_loss"].mean() for cell in group]))
        if rise.low > 0 and rise.mean > 0.1 * abs(level) and fall.mean < LEAST_GAP * clean:
            why = f"{label} at ε={epsilon:g} raises the loss and leaves the ranks: the loss is not what is ranked"
            numbers = {"rise": rise.mean, "clean_loss": level, "fall": fall.mean}
            yield Flag("loss up, ranks unchanged", why, numbers)


def _clean_values(results: Results, row: Row, measure: Measure) -> dict[int, FloatArray]:
    """Returns the clean values of a row's users by seed, float64 [users]."""
    cells = results.clean_cells(row.key)
    return {cell.seed: array for cell in cells if (array := results.per_user(cell, measure)) is not None}


def _numbers(gap: Interval) -> dict[str, float]:
    return {"gap": gap.mean, "low": gap.low, "high": gap.high}
