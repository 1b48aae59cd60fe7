"""Makes the lists that victims recommend to one user or to every user.

A single user may be a user of the data set or a new user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from robench.api.errors import PluginError, UserError, did_you_mean
from robench.engine.data.prepared import Prepared
from robench.engine.fit.victim import FitResult
from robench.files.cache import Cache, default_folder
from robench.host.registry import Registry
from robench.plan.filters import resolve_names, select_cells
from robench.plan.plan import make_plan
from robench.recommend.checkpoint import read_checkpoint
from robench.recommend.everyone import EveryUser, check_out, writing_lists
from robench.recommend.query import Query, Recommendation, Request
from robench.run.data import DataKey, data_name, load_suite_data
from robench.run.device import pick_device, torch_settings
from robench.run.victim import make_victim_fit, targets_of
from robench.spec import Cell, Victim, describe_victim
from robench.suite.load import load_suite

Say = Callable[[str], None]
T = TypeVar("T")


def recommend(source: Path, request: Request, registry: Registry, say: Say) -> list[Recommendation]:
    """Returns the list that each matching victim recommends to one user.

    A suite has one or more victims, and a checkpoint has one. Poisoned victims of a suite are left out.

    Args:
        source: a suite, or a checkpoint (``.safetensors``).
        request: the user, the length of the list, and the choice of victims.
        registry: the plugins.
        say: a function that receives a line about each slow step or doubtful result.

    Raises:
        UserError: if the source or the request has a mistake, or if a victim cannot be fitted or cannot score. Mistakes
            in a suite or a request are reported before anything is fitted.
    """
    if (request.user is None) == (request.items is None):
        problem = "neither is given" if request.user is None else "both are given"
        hint = "a user of the data set, or the items of a new one"
        raise UserError(f"{problem}, and exactly one is needed", path="--user, --items", hint=hint)
    _check_length(request)
    answers = []
    for one in _victims_of(source, request, registry, lambda data, name: Query.of(request, data, name), say):
        name = describe_victim(one.victim)
        try:
            with one.settings():
                model = one.fit().model
                lines, recipient = one.data.answer(model), one.data.recipient(model)
        except PluginError as error:
            raise UserError(str(error), where=name) from error
        answers.append(Recommendation(name, data_name(one.victim), recipient, one.checkpoint, lines))
    return answers


def _check_length(request: Request) -> None:
    if request.k < 1:
        raise UserError(f"a list of {request.k} items", path="--k", hint="1 or more")


def write_lists(source: Path, out: Path, request: Request, registry: Registry, say: Say) -> int:
    """Writes a file with the lists that victims recommend to every user.

    Args:
        source: a suite, or a checkpoint (``.safetensors``).
        out: the file. The suffix gives the format: ``.parquet``, ``.csv`` or ``.jsonl``.
        request: the length of the lists, and the choice of victims.
        registry: the plugins.
        say: a function that receives a line about each slow step or doubtful result.

    Returns:
        The number of rows.

    Raises:
        UserError: if the source, the request or the file has a mistake, or if a victim cannot be fitted or cannot
            score.
    """
    if request.user is not None or request.items is not None:
        raise UserError("--all-users recommends to every user of the data", path="--user, --items")
    _check_length(request)
    check_out(out)
    victims = _victims_of(source, request, registry, lambda data, name: EveryUser.of(data, request.k, name), say)
    rows = 0
    with writing_lists(out) as write:
        for one in victims:
            try:
                with one.settings():
                    for some in one.data.rows(one.fit().model, describe_victim(one.victim)):
                        write(some)
                        rows += len(some)
            except PluginError as error:
                raise UserError(str(error), where=describe_victim(one.victim)) from error
    return rows


@dataclass(frozen=True, eq=False)
class _Ready(Generic[T]):
    """A victim that is ready to be fitted, with the data that its lists need.

    Args:
        victim: the victim.
        data: the prepared data, combined with the request.
        fit: a function that fits the victim or loads its checkpoint.
        checkpoint: the path of the checkpoint.
        device: the type of the device.
    """

    victim: Victim
    data: T
    fit: Callable[[], FitResult]
    checkpoint: Path
    device: str

    def settings(self) -> AbstractContextManager[None]:
        """Returns a context with the torch settings for the victim's fit and scores."""
        return torch_settings(self.victim.threads, self.device)


def _victims_of(
    source: Path, request: Request, registry: Registry, read: Callable[[Prepared, str], T], say: Say
) -> Iterator[_Ready[T]]:
    """Returns an iterator over the victims of the source that match the request."""
    if source.suffix == ".safetensors":
        return iter([_victim_of_checkpoint(source, request, registry, read, say)])
    return _victims_of_suite(source, request, registry, read, say)


def _victims_of_suite(
    path: Path, request: Request, registry: Registry, read: Callable[[Prepared, str], T], say: Say
) -> Iterator[_Ready[T]]:
    """Returns an iterator over the victims of a suite that match the request.

    Before the function returns, it prepares the data of these victims and checks the request against the data.
    """
    suite = load_suite(path, registry, request.overrides)
    cells = _choose(make_plan(suite, registry).cells, suite.seeds, request)
    cache = Cache(default_folder())
    device = pick_device(suite.device, suite.tree.place(("device",)))
    sources: dict[str, tuple[DataKey, Prepared, T]] = {}
    for cell in cells:
        name = data_name(cell.victim)
        if name not in sources:
            data = load_suite_data([cell], suite, registry, cache)
            sources[name] = data.key, data.data, read(data.data, name)
    no_targets = np.empty(0, dtype=np.int64)

    def ready(victim: Victim) -> _Ready[T]:
        key, data, query = sources[data_name(victim)]
        fit = make_victim_fit(victim, data, key, registry, cache, device, no_targets)

        def fitted() -> FitResult:
            if not fit.is_cached():
                say(f"fitting {describe_victim(victim)}: no checkpoint is kept")
            return fit.fit()

        return _Ready(victim, query, fitted, fit.checkpoint, device.type)

    return (ready(cell.victim) for cell in cells)


def _victim_of_checkpoint(
    path: Path, request: Request, registry: Registry, read: Callable[[Prepared, str], T], say: Say
) -> _Ready[T]:
    """Returns the victim of a checkpoint.

    The data comes from the cache that contains the checkpoint, or else from the default cache.

    Raises:
        UserError: if the request chooses among victims, or if the checkpoint or its data cannot be read.
    """
    given = [f"--{name}" for name in ("model", "defense", "seed") if getattr(request, name) is not None]
    given += [*(["--only"] if request.only else []), *(["--set"] if request.overrides else [])]
    if given:
        raise UserError("a checkpoint is one victim, and this chooses among a suite's", path=", ".join(given))
    checkpoint = read_checkpoint(path, registry)
    victim, data = checkpoint.victim, checkpoint.data()
    query = read(data, data_name(victim))

    def fitted() -> FitResult:
        targets = targets_of(victim, data) if victim.poison else np.empty(0, dtype=np.int64)
        try:
            fit = make_victim_fit(victim, data, checkpoint.key, registry, checkpoint.cache, checkpoint.device, targets)
            same_code = fit.code() == checkpoint.code
            if fit.train_sha != checkpoint.train:
                raise UserError("its poisoning or defence now gives other training data", where=str(path))
            result = fit.restore(checkpoint.state)
        except UserError:
            raise
        except Exception as error:  # another version of a plugin may raise any exception for this state
            problem = f"{type(error).__name__}: {error}"
            raise UserError(f"it does not fit the models that are installed: {problem}", where=str(path)) from error
        if not same_code:
            say("the code of robench or of a plugin has changed since this checkpoint was fitted")
        return result

    return _Ready(victim, query, fitted, path, checkpoint.device.type)


def _choose(cells: Iterable[Cell], seeds: Iterable[int], request: Request) -> list[Cell]:
    """Returns one cell for each unpoisoned victim that matches the request.

    Skipped cells are left out. If the request names no seed, only victims with the first seed match.

    Raises:
        UserError: if no victim matches, or if a condition of the request is wrong.
    """
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
