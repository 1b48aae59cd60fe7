"""Computes flags from the host's checks of a victim.

The host checks a victim before it runs attacks on vectors. The records of these attacks hold the numbers. If a victim
fails a check, its row has no rank, because the attacks do not measure the robustness of the victim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robench.api.surfaces import SURFACES
from robench.spec import CellRow
from robench.tables.diagnoses import MOST_NOISE
from robench.tables.results import Results
from robench.tables.rows import Flag, Row

Checks = Mapping[str, float]
FIRST_FORMAT = 2  # the first format of records that hold checks
MOST_DIFFERENCE = 1e-3  # the largest difference that counts as equal, in standard deviations of the scores
TABLE_SLOPES = ("table_slope_own", "table_slope_random")  # only in records of attacks on tables
MOST_SLOPE_ERROR = 0.3  # the largest error of a gradient, as a share of its length
LEAST_MOVEMENT = 1e-6  # the least movement of the scores, in standard deviations
LEAST_SHARE = 0.05  # the least movement, as a share of the undefended twin's
MOST_SATURATED = 0.5  # the largest share of users with a saturated softmax
NOISE_RATIO = 10.0  # the most by which the noise in the ball may exceed that at the genuine point
MOST_RADIUS = 2.0  # the largest ratio between the radius of ε = 1 and that of the undefended twin


@dataclass(frozen=True)
class Check:
    """A property that every victim must have.

    Args:
        flag: the name of the flag for a victim that lacks the property.
        why: the sentence that explains the flag.
        names: the names of the numbers that the check uses.
        fails: a function that returns whether a victim with the given numbers fails the check.
    """

    flag: str
    why: str
    names: tuple[str, ...]
    fails: Callable[[Checks], bool]


def _draws_unannounced(checks: Checks) -> bool:
    return checks["noise_genuine"] > MOST_NOISE and not checks["declared_stochastic"]


def _draws_under_attack(checks: Checks) -> bool:
    return checks["noise_ball"] > max(MOST_NOISE, NOISE_RATIO * checks["noise_genuine"])


CHECKS = (
    Check(
        "scores bypass the inputs",
        "the scores follow the ids or the context of the user, which no attack can change",
        ("foreign_genuine", "foreign_ball"),
        lambda checks: max(checks["foreign_genuine"], checks["foreign_ball"]) > MOST_DIFFERENCE,
    ),
    Check(
        "hidden context",
        "the context holds numbers of single users, and no check can tell whether the scores follow them",
        ("hidden_context",),
        lambda checks: checks["hidden_context"] > 0,
    ),
    Check(
        "other inputs than the wrapped model",
        "the defence offers other inputs to attacks than those of the fitted model",
        ("wrapped_inputs", "wrapped_places"),
        lambda checks: checks["wrapped_inputs"] > MOST_DIFFERENCE or checks["wrapped_places"] > 0,
    ),
    Check(
        "random without a declaration",
        "the victim draws random numbers, and does not declare that it is stochastic",
        ("noise_genuine",),
        _draws_unannounced,
    ),
    Check(
        "random under attack",
        "the victim draws more random numbers at perturbed inputs than at genuine ones",
        ("noise_genuine", "noise_ball"),
        _draws_under_attack,
    ),
    Check(
        "scores depend on gradients",
        "the scores differ between scorings with and without gradients",
        ("grad_mode",),
        lambda checks: checks["grad_mode"] > MOST_DIFFERENCE,
    ),
    Check(
        "wrong gradients",
        "the gradients of the scores do not agree with finite differences",
        ("slope_own", "slope_random"),
        lambda checks: max(checks["slope_own"], checks["slope_random"]) > MOST_SLOPE_ERROR,
    ),
    Check(
        "wrong gradients of tables",
        "the gradients with respect to the embedding tables do not agree with finite differences",
        TABLE_SLOPES,
        lambda checks: max(checks.get(name, 0.0) for name in TABLE_SLOPES) > MOST_SLOPE_ERROR,
    ),
    Check(
        "scores ignore the inputs",
        "random points of the ball do not move the scores",
        ("movement",),
        lambda checks: checks["movement"] < LEAST_MOVEMENT,
    ),
    Check(
        "saturated scores",
        "the softmax of the scores is 1 for a single item, so losses of attacks see no other item",
        ("saturated",),
        lambda checks: checks["saturated"] > MOST_SATURATED,
    ),
)


def flag_checks(results: Results, row: Row, cells: Sequence[CellRow]) -> list[Flag]:
    """Returns the flags that follow from a row's checks.

    If a check fails, the row has no rank and no p-value. A row fails a check if one of its victims fails it. A row also
    fails if a record of the second format or later holds no checks. Records of the first format need none. If ε = 1
    allows much larger or smaller shifts than for the twin, the row gets a flag, but keeps its rank.

    Args:
        results: the results of the folder.
        row: the row, which may lose its rank.
        cells: the measured cells of the row's table.
    """
    checked = [cell for cell in cells if SURFACES[cell.surface].checks_victims]
    flags = list(_failures(results, checked))
    if flags:
        row.distrust()
    return flags + list(_radius(results, row, checked))


def _failures(results: Results, cells: Sequence[CellRow]) -> Iterator[Flag]:
    numbers = checks_by_seed(results, cells)
    unchecked = {
        cell.seed
        for cell in cells
        if results.record(cell)["format_version"] >= FIRST_FORMAT and not results.record(cell).get("checks")
    }
    if unchecked:
        why = "a record holds no checks of the victim, so nothing shows that attacks can measure it"
        yield Flag("not checked", why, {"seeds": len(unchecked)})
    for check in CHECKS:
        failed = [part for part in numbers.values() if check.fails(part)]
        if failed:
            yield Flag(check.flag, check.why, {name: max(part[name] for part in failed) for name in check.names})
    if (share := _movement_share(results, cells, numbers)) is not None and share < LEAST_SHARE:
        why = "random points of the ball move the scores much less than those of the undefended twin"
        yield Flag("scores hardly move", why, {"share": share})


def checks_by_seed(results: Results, cells: Sequence[CellRow]) -> dict[int, Checks]:
    """Returns the numbers of the checks, by seed.

    All cells of a victim hold the same numbers. Seeds without checks are left out.
    """
    return {cell.seed: checks for cell in cells if (checks := results.record(cell).get("checks"))}


def twin_checks(results: Results, cells: Sequence[CellRow]) -> dict[int, Checks]:
    """Returns the numbers from the checks of the undefended twins, by seed.

    The result is empty if the cells belong to an undefended row, or if no twin was checked.
    """
    if not cells or not cells[0].key.defended:
        return {}
    model = cells[0].key.model_key
    twin = [
        cell
        for key, some in results.by_row.items()
        if key.model_key == model and not key.defended
        for cell in some
        if results.ok(cell) and cell.stage == "test" and SURFACES[cell.surface].checks_victims
    ]
    return checks_by_seed(results, twin)


def _movement_share(results: Results, cells: Sequence[CellRow], numbers: Mapping[int, Checks]) -> float | None:
    """Returns the movement of the scores, relative to that of the undefended twin.

    For each seed, the movement is divided by the movement of the twin. The result is the median of these ratios. A seed
    is left out if one of the two was not checked, or if the scores of the twin do not move. If no seed is left, the
    result is None.
    """
    return _ratio("movement", numbers, twin_checks(results, cells))


def _radius(results: Results, row: Row, cells: Sequence[CellRow]) -> Iterator[Flag]:
    numbers, twin = checks_by_seed(results, cells), twin_checks(results, cells)
    ratio = radius_ratio(numbers, twin)
    if ratio is not None and not 1 / MOST_RADIUS <= ratio <= MOST_RADIUS:
        why = "ε is relative to the size of the inputs, and these differ from those of the undefended twin"
        radii = {"radius": _mean("radius", numbers), "twin": _mean("radius", twin)}
        yield Flag("ε is of another size", why, {"ratio": ratio, **radii})


def radius_ratio(numbers: Mapping[int, Checks], twin: Mapping[int, Checks]) -> float | None:
    """Returns the ball's radius at ε = 1, relative to that of the undefended twin.

    For each seed, the radius is divided by the radius of the twin. The result is the median of these ratios. A seed is
    left out if one of the two was not checked, or if the radius of the twin is 0. If no seed is left, the result is
    None.
    """
    return _ratio("radius", numbers, twin)


def _ratio(name: str, numbers: Mapping[int, Checks], twin: Mapping[int, Checks]) -> float | None:
    common = [seed for seed in numbers if seed in twin and twin[seed][name] > 0]
    if not common:
        return None
    return float(np.median([numbers[seed][name] / twin[seed][name] for seed in common]))


def _mean(name: str, numbers: Mapping[int, Checks]) -> float:
    return float(np.mean([part[name] for part in numbers.values()]))
