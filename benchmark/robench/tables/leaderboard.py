"""Builds the ranking tables and the rows of leaderboard.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import IF_SET, JSON_ONLY, inline
from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.spec import RowKey, TargetChoice
from robench.store.plan_file import PlannedTable
from robench.tables.attack_set import AttackSet, build_attack_set, has_ensembles
from robench.tables.clean import CleanRow, choose_reference, compute_baseline_values
from robench.tables.flags import set_flags
from robench.tables.poisoning import compute_null_interval, cut_control
from robench.tables.ranking import rank_rows
from robench.tables.results import BASELINE, Results
from robench.tables.rows import Flag, Row, build_rows, compute_drop, compute_own_weights, uses_shift
from robench.tables.stats import Interval
from robench.tables.stronger import note_best_known


@dataclass(frozen=True)
class LeaderboardRow:
    """A row of leaderboard.csv, with one model and defence of a ranking table.

    If a suite has no attacks, it has no ranking table. A row then has the clean value in one metric.

    The columns are a contract with the readers of the file. ``docs/reference/results.md`` lists them.

    Args:
        rank: the rank. This field and the next two are None if the row is not ranked.
        rank_low: the best rank that the data allow.
        rank_high: the worst rank that the data allow.
        dataset: the label of the data set.
        split: the label of the split.
        threat: the threat model of the table, or None in a suite without attacks.
        epsilon: the largest budget of the table, or None in a suite without attacks.
        metric: the metric of the table.
        key: the data and the victim, without the seed.
        baseline: whether the plan marks the model as the baseline.
        attack_set: the names of the attacks over which the worst case is taken. The prefix ``custom:`` shows that the
            table is not judged by the standard ensemble alone.
        adaptive: the distinct values of ``Attack.adaptive`` among the row's attacks, separated by commas.
        own_weights: the weights by which the defence's own paper would express λ, by name.
        clean: the mean clean value.
        clean_low: the lower end of the interval of ``clean``.
        clean_high: the upper end of the interval of ``clean``.
        worst: the mean worst case. This field and the next two are None for the baseline, or if no attack was measured
            in all seeds.
        worst_low: the lower end of the interval of ``worst``.
        worst_high: the upper end of the interval of ``worst``.
        drop: the value 1 − worst / clean, or None if either is missing or clean is 0.
        p_value: the p-value of the difference from the undefended twin, adjusted by Holm's method. ``rank_rows`` says
            when the value is None.
        flags: the names of the row's flags.
        seeds: the number of seeds.
        users: the number of users that were measured.
        users_hit: the number of users with a held-out item in the clean top k, averaged over seeds.
        notes: the flags with their numbers.
        verdict: how the row compares with its undefended twin. See ``write_verdict``. The string is empty if there is
            no p-value. It is also empty if the row has no rank, unless the only reason is that no seed is common to the
            rows.
        shift: the mean difference between the worst case and the clean value, if the table compares rows by it.
            Otherwise, this field and the next are None.
        control: the null control, the interval of the shift that retraining alone would cause.
        best_known: the mean worst case over the attacks and the external attacks, or None if this is the same as
            ``worst``. No rank depends on this value.
    """

    rank: int | None
    rank_low: int | None
    rank_high: int | None
    dataset: str
    split: str
    threat: Threat | None = field(metadata=inline())
    epsilon: float | None
    metric: Measure
    key: RowKey = field(metadata=inline("model", "model_label", "defense", "defense_label", "lambda", "train_epsilon"))
    baseline: bool = field(default=False, kw_only=True, metadata={**JSON_ONLY, **IF_SET})
    attack_set: str
    adaptive: str
    own_weights: Mapping[str, float] = field(metadata=JSON_ONLY)
    clean: float
    clean_low: float
    clean_high: float
    worst: float | None
    worst_low: float | None
    worst_high: float | None
    drop: float | None
    p_value: float | None
    flags: str
    seeds: int
    users: int
    users_hit: float = field(metadata=JSON_ONLY)
    notes: tuple[Flag, ...] = field(metadata=JSON_ONLY)
    verdict: str = ""
    shift: Interval | None = field(default=None, metadata={**JSON_ONLY, **IF_SET})
    control: Interval | None = field(default=None, metadata={**JSON_ONLY, **IF_SET})
    best_known: float | None = None

    @property
    def clean_interval(self) -> Interval:
        """The clean value with its interval."""
        return Interval(self.clean, self.clean_low, self.clean_high)

    @property
    def worst_interval(self) -> Interval | None:
        """The worst case with its interval, or None if the row has no worst case."""
        if self.worst is None or self.worst_low is None or self.worst_high is None:
            return None
        return Interval(self.worst, self.worst_low, self.worst_high)

    @property
    def is_baseline(self) -> bool:
        """True if the model is the baseline that other models must beat."""
        return self.baseline or self.key.model == BASELINE


@dataclass(frozen=True)
class LeaderboardTable:
    """A ranking table for one data set, split and threat model.

    Args:
        threat: the threat model of the attacks.
        epsilon: the largest budget of the attacks.
        metric: the metric by which rows are ranked.
        dataset: the label of the data set.
        split: the label of the split.
        title: the name of the standard ensemble, or ``custom attack set``. See ``AttackSet.title``.
        ensemble: whether the table takes its worst case from ensembles alone.
        hit_k: the k of the column "users hit at k".
        rise: whether attacks raise the metric.
        attacks: the names of the attacks.
        rows: the rows. Ranked rows come before unranked ones, within each model if models are ranked separately. The
            baseline comes last.
        targets: the choice of the targets if the rows are compared by their shift, or None.
        current: the name of the ensemble with its current version if the table is expired, otherwise an empty string.
            See ``AttackSet``.
    """

    threat: Threat = field(metadata=inline())
    epsilon: float
    metric: Measure
    dataset: str
    split: str
    title: str
    ensemble: bool
    hit_k: int
    rise: bool
    attacks: tuple[str, ...]
    rows: tuple[LeaderboardRow, ...]
    targets: TargetChoice | None = field(default=None, metadata=IF_SET)
    current: str = field(default="", metadata=IF_SET)


def build_leaderboard(results: Results) -> list[LeaderboardTable]:
    """Returns the ranking tables of the plan, for every data set and split.

    A table without attacked rows is left out.
    """
    tables = []
    for place in results.places:
        for table in results.plan.ranking:
            rows, attacks = build_ranked_rows(results, table, place)
            if any(row.worst is not None for row in rows):
                tables.append(_table(results, table, place, rows, attacks))
    return tables


def build_ranked_rows(results: Results, table: PlannedTable, place: tuple[str, str]) -> tuple[list[Row], AttackSet]:
    """Returns the rows of a table with their flags and ranks, and the attacks.

    Args:
        results: the results of the folder.
        table: the table.
        place: the data set and the split.
    """
    attacks = build_attack_set(results, table, place)
    rows = build_rows(results, table, place, attacks)
    reference = choose_reference(results, table)
    popularity = compute_baseline_values(results, place, reference)
    for row in rows:
        set_flags(results, row, reference, popularity, table)
        note_best_known(results, row, table)
    rank_rows(rows, results, table)
    return rows, attacks


def build_rows_without_attacks(results: Results, clean: Sequence[CleanRow]) -> list[LeaderboardRow]:
    """Returns one row per ``RowKey`` and metric if the suite has no attacks.

    A rank belongs to a set of attacks, so these rows have none. The list is empty if the suite has attacks.
    """
    if any(not cell.clean and cell.status != "skipped" for cell in results.cells):
        return []
    return [_row_without_attacks(results, row, measure) for row in clean for measure in row.values]


def _row_without_attacks(results: Results, row: CleanRow, measure: Measure) -> LeaderboardRow:
    value = row.values[measure]
    return LeaderboardRow(
        rank=None,
        rank_low=None,
        rank_high=None,
        dataset=row.key.dataset,
        split=row.key.split,
        threat=None,
        epsilon=None,
        metric=measure,
        key=row.key,
        baseline=any(cell.baseline for cell in results.by_row[row.key]),
        attack_set="",
        adaptive="",
        own_weights=compute_own_weights(results, row.key),
        clean=value.mean,
        clean_low=value.low,
        clean_high=value.high,
        worst=None,
        worst_low=None,
        worst_high=None,
        drop=None,
        p_value=None,
        flags=row.flags,
        seeds=row.seeds,
        users=row.users,
        users_hit=row.users_hit,
        notes=row.notes,
    )


def _table(
    results: Results, table: PlannedTable, place: tuple[str, str], rows: Sequence[Row], attacks: AttackSet
) -> LeaderboardTable:
    within = not table.threat.ranks_models
    models = {label: place for place, label in enumerate(dict.fromkeys(row.key.model_label for row in rows))}
    ordered = sorted(rows, key=lambda row: _order(row, models[row.key.model_label], within))
    return LeaderboardTable(
        table.threat,
        table.epsilon,
        table.metric,
        *place,
        attacks.title,
        has_ensembles(results, table),
        choose_hit_k(results, table),
        table.threat.goal == "promote" and not results.metric(table.metric).higher_is_better,
        tuple(attacks.attacks),
        tuple(_leaderboard_row(results, table, row, attacks) for row in ordered),
        results.plan.targets if uses_shift(results, table) else None,
        attacks.current,
    )


def choose_hit_k(results: Results, table: PlannedTable) -> int:
    """Returns the k of the column "users hit at k".

    If the metric of the table is about held-out items and has a k, the result is this k. Otherwise, the result is the k
    of the threat model, or 10 if the threat model has none.
    """
    k = table.metric.k if results.metric(table.metric).needs == "held-out" else 0
    return k or table.threat.k or 10


def _order(row: Row, model: int, within: bool) -> tuple[object, ...]:
    """Returns the sort key of a row.

    Rows are sorted by rank, with unranked rows after ranked ones and the baseline last. If each model has a separate
    ranking, rows are sorted by model first.

    Args:
        row: the row.
        model: the position of the row's model among the models.
        within: whether rows are ranked separately for each model.
    """
    return row.baseline, model if within else 0, row.rank is None, row.rank or (math.inf,), model


def _control(row: Row) -> Interval:
    """Returns the null control of a row's shift."""
    return cut_control(compute_null_interval([float(np.nanmean(values)) for values in row.clean]), row.reach)


def _leaderboard_row(results: Results, table: PlannedTable, row: Row, attacks: AttackSet) -> LeaderboardRow:
    rank, rank_low, rank_high = row.rank or (None, None, None)
    clean, worst = row.clean_interval(), row.worst_interval()
    names = ", ".join(row.attacks)
    return LeaderboardRow(
        rank=rank,
        rank_low=rank_low,
        rank_high=rank_high,
        dataset=row.key.dataset,
        split=row.key.split,
        threat=table.threat,
        epsilon=table.epsilon,
        metric=table.metric,
        key=row.key,
        baseline=any(cell.baseline for cell in results.by_row[row.key]),
        attack_set=f"custom: {names}" if names and not attacks.standard else names,
        adaptive=row.adaptive,
        own_weights=compute_own_weights(results, row.key),
        clean=clean.mean,
        clean_low=clean.low,
        clean_high=clean.high,
        worst=None if worst is None else worst.mean,
        worst_low=None if worst is None else worst.low,
        worst_high=None if worst is None else worst.high,
        drop=compute_drop(clean, worst),
        p_value=row.p_value,
        flags=row.flags,
        seeds=len(row.seeds),
        users=row.users,
        users_hit=row.hits(results, choose_hit_k(results, table)),
        notes=tuple(row.notes),
        verdict=row.verdict,
        shift=row.shift_interval(),
        control=_control(row) if row.by_shift and worst is not None else None,
        best_known=row.best_known_mean(),
    )
