"""Makes the lists that victims recommend to a user.

The user is either a user of the data set or a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from robench.api.errors import PluginError, UserError, did_you_mean
from robench.engine.fit.victim import FitResult
from robench.files.cache import Cache, default_folder
from robench.host.registry import Registry
from robench.plan.filters import resolve_names, select_cells
from robench.plan.plan import make_plan
from robench.recommend.checkpoint import read_checkpoint
from robench.recommend.query import Query, Recommendation, Request
from robench.run.data import DataKey, data_name, load_suite_data
from robench.run.device import pick_device, torch_settings
from robench.run.victim import make_victim_fit, targets_of
from robench.spec import Cell, Victim, describe_victim
from robench.suite.load import load_suite

Say = Callable[[str], None]


def recommend(source: Path, request: Request, registry: Registry, say: Say) -> list[Recommendation]:
    """Returns the lists of a suite's victims, or the list of a checkpoint's victim.

    Poisoned victims of a suite are left out.

    Args:
        source: a suite, or a checkpoint (``.safetensors``).
        request: the user, the length of the list, and the victims.
        registry: the plugins.
        say: a function that receives a line about each slow step or doubtful result.

    Raises:
        UserError: if the source or the request has a mistake. In this case, nothing has been fitted.
    """
    if (request.user is None) == (request.items is None):
        problem = "neither is given" if request.user is None else "both are given"
        hint = "a user of the data set, or the items of a new one"
        raise UserError(f"{problem}, and exactly one is needed", path="--user, --items", hint=hint)
    if request.k < 1:
        raise UserError(f"a list of {request.k} items", path="--k", hint="1 or more")
    if source.suffix == ".safetensors":
        return [_recommend_by_checkpoint(source, request, registry, say)]
    return _recommend_by_suite(source, request, registry, say)


def _recommend_by_suite(path: Path, request: Request, registry: Registry, say: Say) -> list[Recommendation]:
    """Returns the lists of a suite's victims.

    A victim without a checkpoint is fitted first.
    """
    suite = load_suite(path, registry, request.overrides)
    cells = _choose(make_plan(suite, registry).cells, suite.seeds, request)
    cache = Cache(default_folder())
    device = pick_device(suite.device, suite.tree.place(("device",)))
    queries: dict[str, tuple[DataKey, Query]] = {}
    for cell in cells:
        name = data_name(cell.victim)
        if name not in queries:
            data = load_suite_data([cell], suite, registry, cache)
            queries[name] = data.key, Query.of(request, data.data, name)
    answers = []
    no_targets = np.empty(0, dtype=np.int64)
    for victim in (cell.victim for cell in cells):
        key, query = queries[data_name(victim)]
        with torch_settings(victim.threads, device.type):
            fit = make_victim_fit(victim, query.data, key, registry, cache, device, no_targets)
            if not fit.is_cached():
                say(f"fitting {describe_victim(victim)}: no checkpoint is kept")
            answers.append(_answer(victim, query, fit.fit, fit.checkpoint))
    return answers


def _recommend_by_checkpoint(path: Path, request: Request, registry: Registry, say: Say) -> Recommendation:
    """Returns the list of a checkpoint's victim.

    The data comes from the cache that contains the checkpoint.
    """
    given = [f"--{name}" for name in ("model", "defense", "seed") if getattr(request, name) is not None]
    given += [*(["--only"] if request.only else []), *(["--set"] if request.overrides else [])]
    if given:
        raise UserError("a checkpoint is one victim, and this chooses among a suite's", path=", ".join(given))
    checkpoint = read_checkpoint(path, registry)
    victim, data = checkpoint.victim, checkpoint.data()
    query = Query.of(request, data, data_name(victim))
    with torch_settings(victim.threads, checkpoint.device.type):
        targets = targets_of(victim, data.train) if victim.poison else np.empty(0, dtype=np.int64)
        try:
            fit = make_victim_fit(victim, data, checkpoint.key, registry, checkpoint.cache, checkpoint.device, targets)
            same_code = fit.code() == checkpoint.code
            if fit.train_sha != checkpoint.train:
                raise UserError("its poisoning or defence now gives other training data", where=str(path))
            fitted = fit.restore(checkpoint.state)
        except UserError:
            raise
        except Exception as error:  # another version of a plugin may raise any exception for this state
            problem = f"{type(error).__name__}: {error}"
            raise UserError(f"it does not fit the models that are installed: {problem}", where=str(path)) from error
        if not same_code:
            say("the code of robench or of a plugin has changed since this checkpoint was fitted")
        return _answer(victim, query, lambda: fitted, path)


def _answer(victim: Victim, query: Query, fit: Callable[[], FitResult], checkpoint: Path) -> Recommendation:
    try:
        model = fit().model
        lines, recipient = query.answer(model), query.recipient(model)
    except PluginError as error:
        raise UserError(str(error), where=describe_victim(victim)) from error
    return Recommendation(describe_victim(victim), data_name(victim), recipient, checkpoint, lines)


def _choose(cells: Iterable[Cell], seeds: Iterable[int], request: Request) -> list[Cell]:
    """Returns one cell for each unpoisoned victim that matches the request."""
    able = [cell for cell in cells if not cell.skip and cell.victim.poison is None]
    for kind in ("model", "defense"):
        name = getattr(request, kind)
        if name is None:
            continue
        parts = [getattr(cell.victim, kind) for cell in able]
        names = resolve_names({kind: name}, [cell.columns() for cell in able])[kind]
        able = [cell for cell, part in zip(able, parts, strict=True) if part.name in names or part.label in names]
        if not able:
            hint = did_you_mean(name, {part.label for part in parts})
            raise UserError(f"no {kind} '{name}' among the victims", path=f"--{kind}", hint=hint)
    able = select_cells(able, request.only)
    known = [seed for seed in seeds if any(cell.victim.seed == seed for cell in able)]
    seed = known[0] if request.seed is None and known else request.seed
    if seed not in known:
        raise UserError(f"no victim has seed {seed}", path="--seed", hint=f"known: {', '.join(map(str, known))}")
    return list({cell.victim.id: cell for cell in able if cell.victim.seed == seed}.values())
