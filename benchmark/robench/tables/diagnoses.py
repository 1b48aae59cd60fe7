"""Computes flags from the records of a row's cells.

The flags report budgets that were exceeded, rounded up or not spent, unusable gradients, scores that vary or are not
additive, failed second runs, and different devices.
"""

from __future__ import annotations

from collections.abc import Sequence

from robench.api.surfaces import SURFACES
from robench.spec import CellRow
from robench.store.plan_file import PlannedTable
from robench.store.record import ENSEMBLE
from robench.tables.comparisons import GRADIENT, MINIMUM_NORM
from robench.tables.results import Results
from robench.tables.rows import Flag, Row

MOST_ZERO = 0.01  # the share of the hit users above which an attack is flagged
MOST_BLIND = 0.5  # the share of the hit users above which the gradient attacks of an ensemble prove nothing
OVERSHOOT = 1 + 1e-4
MOST_ROUNDING = 1.05  # the largest ratio of the achieved budget to ε
LEAST_SPENT = 1 - 1e-9  # the least ratio of the achieved budget to ε with which all of it counts as spent
MOST_ADDITIVE = 1e-3  # the largest difference between scores and a sum over items, in standard deviations
MOST_IGNORED = 0.25  # the largest share of users or titles that a model trained elsewhere may ignore
MOST_NOISE = 1e-4  # the largest difference between two scorings without an attack, in standard deviations


def flag_reruns(results: Results, row: Row, table: PlannedTable | None) -> list[Flag]:
    """Returns a flag if cells of a row failed when they were measured again.

    The row shows their earlier measurements.
    """
    cells = [cell for cell in results.by_row[row.key] if results.ok(cell)]
    cells = [cell for cell in cells if table is None or cell.clean or cell.threat == table.threat]
    failed = sum("rerun_error" in results.record(cell) for cell in cells)
    if not failed:
        return []
    why = "cells failed when they were measured again, so the row shows their earlier measurements"
    return [Flag(f"re-run failed: {failed} of {len(cells)} cells", why, {"cells": len(cells), "failed": failed})]


def flag_noise(results: Results, row: Row) -> list[Flag]:
    """Returns a flag if two scorings of a victim differ without an attack."""
    differences = [_diagnosis(results, cell, "stochastic") for cell in results.clean_cells(row.key)]
    if max(differences, default=0.0) <= MOST_NOISE:
        return []
    why = "two scorings without an attack differ, so its ranks and the attacks' gradients are partly chance"
    return [Flag("stochastic", why, {"difference": max(differences)})]


def flag_devices(results: Results, row: Row) -> list[Flag]:
    """Returns a flag if rows on the same data used different types of devices.

    Rows on the same data share the data set and the split.
    """
    beside = {kind for key, kinds in results.device_types.items() if key.place == row.key.place for kind in kinds}
    own = results.device_types.get(row.key, ())
    if len(beside) < 2 or not own:
        return []
    why = (
        f"the rows beside it were measured on {' and '.join(sorted(beside))}, which round differently; "
        "robench run --fresh measures all on one"
    )
    return [Flag(f"measured on {' and '.join(own)}", why, {"devices": ", ".join(own)})]


def flag_budgets(results: Results, cells: Sequence[CellRow]) -> list[Flag]:
    """Returns one flag for each attack that proposed too large a perturbation.

    A perturbation is too large if it exceeds its budget by more than 0.01%. An attack gets a second flag if the
    perturbation that was measured exceeds ε by more than this share. Budgets in whole units, such as edits, give only
    the first flag.
    """
    worst: dict[str, float] = {}
    applied: dict[str, float] = {}
    for cell in cells:
        achieved, label = results.record(cell)["achieved"], cell.attack_label
        if (over := achieved.get("overshoot", 0.0)) > OVERSHOOT:
            worst[label] = max(over, worst.get(label, 0.0))
        exact = not SURFACES[cell.surface].whole_units and cell.epsilon
        if exact and (over := achieved.get("epsilon", 0.0) / cell.epsilon) > OVERSHOOT:
            applied[label] = max(over, applied.get(label, 0.0))
    why = "the attack returned a perturbation outside its budget; the host projected it before measuring"
    flags = [Flag(f"{name} exceeded its budget {over:.3g}x", why, {"overshoot": over}) for name, over in worst.items()]
    why = "what was measured is larger than ε: these numbers are not of this budget"
    flags += [Flag(f"{name} measured at {over:.3g}x ε", why, {"achieved": over}) for name, over in applied.items()]
    return flags


def flag_rounding(results: Results, row: Row, table: PlannedTable | None) -> list[Flag]:
    """Returns one flag per poisoning with a budget rounded up by more than 5%.

    A poisoning adds a whole number of fake users.
    """
    flags = []
    for cell in results.by_row[row.key]:
        if cell.stage != "train" or not results.ok(cell) or not cell.epsilon:
            continue
        if table is None or (cell.threat == table.threat and cell.epsilon <= table.epsilon):
            achieved = results.record(cell)["achieved"]
            users, share = achieved.get("fake_users"), achieved.get("epsilon", 0.0)
            if users and share > MOST_ROUNDING * cell.epsilon:
                why = f"{cell.attack_label}: ⌈ε · real users⌉ is more than ε of them"
                name = f"budget rounded up to {users:.0f} user{'s' if users > 1 else ''}"
                flags.append(Flag(name, why, {"epsilon": cell.epsilon, "achieved": share}))
    return list({str(flag): flag for flag in flags}.values())


def flag_unspent(results: Results, row: Row, table: PlannedTable | None) -> list[Flag]:
    """Returns one flag per poisoning with fewer fake users than ε allows.

    If no poisoning of the row has added a fake user, nothing was attacked, and the row has no rank and no p-value.
    """
    made, flags = [], []
    for cell in results.by_row[row.key]:
        if cell.stage != "train" or not results.ok(cell) or (table is not None and cell.threat != table.threat):
            continue
        achieved = results.record(cell)["achieved"]
        users, share = achieved.get("fake_users"), achieved.get("epsilon", 0.0)
        if users is None or not cell.epsilon:
            continue
        made.append(users)
        if share < LEAST_SPENT * cell.epsilon:
            why = f"{cell.attack_label} added fewer fake users than ε allows, and more of them may do more"
            flags.append(Flag("budget not spent", why, {"epsilon": cell.epsilon, "achieved": share}))
    if made and not any(made):
        row.distrust()
    return list({flag.why: flag for flag in flags}.values())


def flag_additivity(results: Results, row: Row, cells: Sequence[CellRow]) -> list[Flag]:
    """Returns a flag if a model wrongly declares that it is additive.

    A model is additive if the scores of a history are a sum over the items of this history. A row with the flag has no
    rank.
    """
    error = max((_diagnosis(results, cell, "additive_error") for cell in cells), default=0.0)
    if error <= MOST_ADDITIVE:
        return []
    row.ranked = False
    why = "the model says that its scores are a sum over the items of a history, and edited histories contradict this"
    return [Flag("not additive", why, {"difference": error})]


def flag_trained(results: Results, row: Row, cells: Sequence[CellRow]) -> list[Flag]:
    """Returns flags of a model that was trained elsewhere.

    One flag states this fact. If the model ignores the histories or titles that an attack changes, the row has a second
    flag, no rank and no p-value.
    """
    own = [cell for cell in results.by_row[row.key] if results.ok(cell)]
    if not any(results.record(cell)["fit"].get("trained_elsewhere") for cell in own):
        return []
    why = "robench did not fit the model, so it cannot know whether the model has seen the test items"
    flags = [Flag("trained elsewhere", why, {})]
    for what in ("history", "titles"):
        share = max((_diagnosis(results, cell, f"{what}_share_ignored") for cell in cells), default=0.0)
        if share > MOST_IGNORED:
            row.distrust()
            why = f"other {'histories' if what == 'history' else what} leave its scores as they are"
            flags.append(Flag(f"scores ignore the {what}", why, {"share": share}))
    return flags


def flag_gradients(results: Results, row: Row, cells: Sequence[CellRow]) -> list[Flag]:
    """Returns one flag for each attack with too many unusable gradients.

    A gradient is unusable if it is zero or not finite. An attack is flagged if more than 1% of the hit users have an
    unusable gradient. If the attack is an ensemble and this share exceeds one half, the row has no rank and no p-value.
    """
    shares: dict[str, float] = {}
    for cell in cells:
        share = _diagnosis(results, cell, "zero_gradient_share") + _diagnosis(results, cell, "non_finite_share")
        if share > MOST_ZERO:
            shares[cell.attack_label] = max(share, shares.get(cell.attack_label, 0.0))
            if cell.kind == ENSEMBLE and share > MOST_BLIND:
                row.distrust()
    why = "the gradient is zero or not finite for hit users: the attack was blind there, robustness is not shown"
    return [Flag("hidden gradients", why, {"attack": label, "share": share}) for label, share in shares.items()]


def flag_single_draws(results: Results, cells: Sequence[CellRow]) -> list[Flag]:
    """Returns one flag for each gradient attack that uses a single scoring.

    Only attacks on victims that draw random numbers at test time are flagged. Such attacks should average over
    scorings.
    """
    flags: dict[str, Flag] = {}
    for cell in cells:
        noisy = _diagnosis(results, cell, "stochastic") > MOST_NOISE
        draws = results.record(cell)["diagnostics"].get("expectation", 1)
        if noisy and cell.kind in (GRADIENT, MINIMUM_NORM) and draws <= 1:
            # Attacks on titles lack this setting. Their losses, but not their slopes, are means over scorings.
            settable = "expectation" in results.record(cell)["spec"]["attack"]["config"]
            remedy = "set its expectation" if settable else "it averages no gradients, so compare it with a search"
            why = f"{cell.attack_label} takes one scoring of a victim that draws at test time: {remedy}"
            flags[cell.attack_label] = Flag("attack without expectation", why, {"expectation": 1})
    return list(flags.values())


def _diagnosis(results: Results, cell: CellRow, name: str) -> float:
    value: float = results.record(cell)["diagnostics"].get(name, 0.0)
    return value
