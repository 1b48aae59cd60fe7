"""Draws the settings of a trial from what a component declares.

A component declares the searched settings by ``robench.api.component.search``. A setting that the suite gives is never
searched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from pydantic import ValidationError

from robench.api.component import Choice, Component, search
from robench.api.digest import canonical, digest
from robench.api.errors import UserError
from robench.spec import OWN_STRENGTHS, Part
from robench.suite.trials import Trial

STARTUP = 10  # trials that cover the space before the search learns from earlier ones
SPREAD = 0.1  # the width of the random part of a covering point, as a share of a range
TRIES = 200  # draws of one trial until its settings are new


@dataclass(frozen=True)
class Axis:
    """The values that one setting may take: a range, or single choices.

    A range goes from ``low`` to ``high``, on a logarithmic scale if ``log`` is true. ``whole`` is true if the setting
    is a whole number. ``choices`` is empty for a range. ``default`` is the default of the setting.
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()
    default: Any = None


def read_axes(cls: type[Component], part: Part) -> dict[str, Axis]:
    """Returns the axes of a component's searched settings, by name.

    Settings that the suite gives are never searched, nor are λ and ε of a defence.

    Raises:
        UserError: if a plugin declares a search that cannot be read.
    """
    axes = {}
    for attribute, info in cls.Config.model_fields.items():
        name = info.alias or attribute
        extra = info.json_schema_extra
        declared = extra.get("search") if isinstance(extra, dict) else None
        if declared is None or name in part.passed or name in OWN_STRENGTHS:
            continue
        try:
            checked = cast("Mapping[str, Any]", search(**declared)["search"])  # type: ignore[arg-type]  # checked by the call
        except (TypeError, ValueError) as error:
            raise UserError(
                f"plugin {part.owner} declares no valid search of {name}: {error}", path=part.name
            ) from None
        if "choices" in checked:
            axes[name] = Axis(choices=tuple(checked["choices"]), default=info.default)
        else:
            low, high, log = checked["low"], checked["high"], checked["log"]
            axes[name] = Axis(low, high, log, info.annotation is int, default=info.default)
    return axes


def initial_settings(axes: Mapping[str, Axis], part: Part) -> dict[str, Choice]:
    """Returns the settings of trial 0, which are those of the suite.

    If the part's resolved settings lack a searched setting, the setting has its default.
    """
    return {name: part.config.get(name, axis.default) for name, axis in axes.items()}


def draw_settings(
    axes: Mapping[str, Axis],
    part: Part,
    number: int,
    earlier: Sequence[Trial],
    taken: Sequence[Mapping[str, Any]],
    key: Any,
) -> dict[str, Choice]:
    """Returns the settings of a trial.

    The result depends only on the arguments, so a resumed search draws the same settings as an uninterrupted one.
    Trials 0 to 9 cover the space. Their points form a Sobol sequence that is rotated so that trial 0 is its first
    point. Trials 0 to 3 are therefore about a quarter of every range apart, so even a few trials are well spread.

    Args:
        axes: the searched settings.
        part: the component.
        number: the number of the trial.
        earlier: the trials with smaller numbers, which the search learns from. The first ten trials ignore them.
        taken: the settings of all trials with smaller numbers. A repetition is avoided while there are other settings.
        key: the seed of the search and the component, as plain data.
    """
    if number == 0:
        return initial_settings(axes, part)
    known = {canonical(dict(settings)) for settings in taken}
    settings: dict[str, Choice] = {}
    for attempt in range(TRIES):
        seed = int(digest([key, number, attempt], 8), 16)
        if number < STARTUP:
            settings = _cover(axes, part, number, seed, spread=1.0 if attempt else SPREAD)
        else:
            settings = _suggest(axes, earlier, seed)
        if canonical(settings) not in known:
            break
    return settings


def _cover(axes: Mapping[str, Axis], part: Part, number: int, seed: int, spread: float) -> dict[str, Choice]:
    """Returns a point of the rotated Sobol sequence, plus a random part.

    Each coordinate is a share of a range, and is taken modulo 1. Its random part is uniform between −``spread`` / 2 and
    ``spread`` / 2. A setting with a single choice takes no dimension of the sequence.
    """
    from scipy.stats import qmc  # noqa: PLC0415  # takes half a second

    initial = initial_settings(axes, part)
    drawn = {name: axis.choices[0] for name, axis in axes.items() if len(axis.choices) == 1}
    free = [name for name in axes if name not in drawn]
    points = qmc.Sobol(max(len(free), 1), scramble=False).random_base2(STARTUP.bit_length())
    noise = np.random.default_rng(seed).uniform(-spread / 2, spread / 2, len(free))
    for name, point, part_of_noise in zip(free, points[number], noise, strict=False):
        place = (point + _place(axes[name], initial[name]) + part_of_noise) % 1
        drawn[name] = _value(axes[name], float(place))
    return {name: drawn[name] for name in axes}


def _place(axis: Axis, value: Any) -> float:
    """Returns the place of a setting in its range, from 0 to 1.

    The place is 0.5 for a value outside the search.
    """
    if not _is_inside(axis, value):
        return 0.5
    if axis.choices:
        return (axis.choices.index(value) + 0.5) / len(axis.choices)
    low, high, at = (math.log(x) if axis.log else x for x in (axis.low, axis.high, value))
    return (at - low) / (high - low)


def _value(axis: Axis, place: float) -> Any:
    """Returns the value of a setting at a place from 0 to 1.

    On a logarithmic axis, the place is a share of the range of logarithms. The result is rounded to a whole number or
    to three significant digits.
    """
    if axis.choices:
        return axis.choices[min(int(place * len(axis.choices)), len(axis.choices) - 1)]
    if axis.log:
        value = math.exp(math.log(axis.low) + place * (math.log(axis.high) - math.log(axis.low)))
    else:
        value = axis.low + place * (axis.high - axis.low)
    return min(max(round(value), int(axis.low)), int(axis.high)) if axis.whole else _rounded(value)


def _suggest(axes: Mapping[str, Axis], earlier: Sequence[Trial], seed: int) -> dict[str, Choice]:
    import optuna  # noqa: PLC0415  # an extra, which takes a second

    spaces: dict[str, Any] = {}
    for name, axis in axes.items():
        if axis.choices:
            spaces[name] = optuna.distributions.CategoricalDistribution(axis.choices)
        elif axis.whole:
            spaces[name] = optuna.distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        else:
            spaces[name] = optuna.distributions.FloatDistribution(axis.low, axis.high, log=axis.log)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in earlier:
        if trial.value is not None and all(_is_inside(axes[name], value) for name, value in trial.settings.items()):
            params = dict(trial.settings)
            study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=trial.value))
    drawn = study.ask(spaces).params
    return {name: _rounded(drawn[name]) for name in axes}


def _is_inside(axis: Axis, value: Any) -> bool:
    """Returns whether an axis contains a value.

    The default of a setting may be outside the axis.
    """
    return value in axis.choices if axis.choices else axis.low <= value <= axis.high


def _rounded(value: Any) -> Any:
    """Returns a value, with a float rounded to three significant digits.

    A person can read and write such a number.
    """
    return float(f"{value:.3g}") if isinstance(value, float) else value


def with_settings(cls: type[Component], part: Part, settings: Mapping[str, Any]) -> Part:
    """Returns a part with different settings.

    Raises:
        UserError: if the component refuses the combination.
    """
    passed = {**part.passed, **settings}
    try:
        config = cls.Config.from_written(passed).resolved()
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{part.label} refuses {dict(settings)}: {first['msg']}") from None
    return Part(part.name, config, part.label, passed, part.owner, part.limits)
