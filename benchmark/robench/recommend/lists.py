"""What a victim recommends: to a user of the data set, or to a new one who names some items."""

from __future__ import annotations

import difflib
import json
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from robench.api.data import Interactions, joined
from robench.api.errors import PluginError, UserError, did_you_mean
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.engine.data.prepare import Prepared
from robench.engine.fit.victim import Fitted
from robench.engine.rank.ranking import evaluation_chunk, mask_known, of_catalogue, top_items
from robench.files.cache import Cache, default_folder, read_entry
from robench.host.discovery import EXTRA
from robench.host.registry import Kind, Registry
from robench.plan.filters import chosen, identified
from robench.plan.plan import make_plan
from robench.recommend.names import Titles
from robench.run.data import DataKey, data_role, path_of, ready
from robench.run.worker import pick_device, set_up, targets_of, victim_fit
from robench.spec import Cell, Part, Victim, label_of, victim_from_payload
from robench.suite.load import load_suite

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ask:
    """Who asks for how many items, and (of a suite) which victims."""

    user: str | None = None
    items: str | None = None
    k: int = 10
    model: str | None = None
    defense: str | None = None
    seed: int | None = None
    only: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One recommended item; ``held_out``: the user did use it, and the model was not told."""

    item: str
    title: str
    score: float
    held_out: bool = False


@dataclass(frozen=True)
class Recommendation:
    """One victim's list."""

    victim: str
    data: str
    who: str
    checkpoint: Path
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class Query:
    """An ``Ask`` that was found to fit a data set. ``user`` is a row, None for a newcomer with ``items``."""

    data: Prepared
    titles: Titles
    k: int
    user: int | None
    items: tuple[int, ...] = ()

    @classmethod
    def of(cls, asked: Ask, data: Prepared, where: str) -> Query:
        """Look up the user or the items.

        Raises:
            UserError: one is unknown, or k does not fit the catalogue.
        """
        n_items = len(data.catalogue.ids)
        if asked.k > n_items:
            raise UserError(f"{asked.k} of {n_items} items cannot be recommended", where=where, path="--k")
        titles = Titles(data.catalogue)
        if asked.items is not None:
            return cls(data, titles, asked.k, None, tuple(titles.read(asked.items, "--items")))
        name = str(asked.user).strip()
        if name not in data.user_ids:
            close = difflib.get_close_matches(name, data.user_ids, n=3)
            known = f"{len(data.user_ids)} users, {data.user_ids[0]} to {data.user_ids[-1]}"
            hint = f"did you mean {' or '.join(map(repr, close))}? {known}" if close else known
            raise UserError(f"no user '{name}'", where=where, path="--user", hint=hint)
        return cls(data, titles, asked.k, data.user_ids.index(name))

    def answer(self, model: Model) -> tuple[Line, ...]:
        """The best items that are not known, with the masks of the benchmark (design A6): held-out items are none."""
        nobody = np.zeros(1, dtype=np.int64)
        if self.user is None:
            history = Interactions.from_rows([self.items], len(self.data.catalogue.ids))
            held, users = Interactions.from_rows([[]], history.n_items), nobody
            raw = model.newcomers(history)
        else:
            history, held = joined(self.data.train, self.data.validation), self.data.test
            users = nobody + self.user
            own = history.row(self.user)
            cold = isinstance(model, TorchModel) and not len(own)  # nothing says what this user likes
            raw = (
                model.newcomers(Interactions.from_rows([own], history.n_items))
                if cold
                else model.scores(users, history)
            )
        raw = of_catalogue(raw, 1, history.n_items)
        scores = mask_known(torch.from_numpy(raw), evaluation_chunk(users, history, held)).numpy()
        hidden = set(held.row(int(users[0])).tolist())
        return tuple(
            Line(self.data.catalogue.ids[item], self.titles.shown(item), float(scores[0, item]), item in hidden)
            for item in top_items(scores, self.k)[0].tolist()
            if item >= 0
        )

    def who(self, model: Model) -> str:
        """Whom the list is for, in words."""
        if self.user is None:
            how = {
                "history": "from these items alone",
                "fold-in": "a vector fitted to these items",
                "content": "by the texts of these items",
                "popularity": "as for everybody",
            }[model.cold_user]
            return f"a new user with {self._named(self.items)}: {how}"
        known = len(self.data.train.row(self.user)) + len(self.data.validation.row(self.user))
        held = self.data.test.row(self.user).tolist()
        rest = f", held out: {self._named(held)}" if held else ""
        return f"user {self.data.user_ids[self.user]}: {known} known items{rest}"

    def _named(self, items: Iterable[int]) -> str:
        return ", ".join(self.titles.shown(item) for item in items)


def recommend(source: Path, asked: Ask, registry: Registry, say: Say) -> list[Recommendation]:
    """The lists of a suite's victims that were not poisoned, or of a checkpoint's.

    Args:
        source: a suite, or a checkpoint (``.safetensors``).
        asked: who, how many, which victims.
        registry: the plugins.
        say: told what takes long or is doubtful.

    Raises:
        UserError: anything in the source or the question is wrong; nothing was fitted then.
    """
    if (asked.user is None) == (asked.items is None):
        problem = "neither is given" if asked.user is None else "both are given"
        hint = "a user of the data set, or the items of a new one"
        raise UserError(f"{problem}, and exactly one is needed", path="--user, --items", hint=hint)
    if asked.k < 1:
        raise UserError(f"a list of {asked.k} items", path="--k", hint="1 or more")
    found = of_checkpoint if source.suffix == ".safetensors" else of_suite
    return found(source, asked, registry, say)


def of_suite(path: Path, asked: Ask, registry: Registry, say: Say) -> list[Recommendation]:
    """The lists of a suite's victims, each from its checkpoint; what has none is fitted."""
    suite = load_suite(path, registry, asked.overrides)
    cells = _chosen(make_plan(suite, registry).cells, suite.seeds, asked)
    cache, device = Cache(default_folder()), pick_device(suite.device)
    cache.check()
    sources: dict[str, tuple[DataKey, Query]] = {}
    for cell in cells:
        role = data_role(cell.victim)
        if role not in sources:
            found = ready([cell], suite, registry, cache)
            sources[role] = found.key, Query.of(asked, found.data, role)
    answers = []
    for victim in (cell.victim for cell in cells):
        key, query = sources[data_role(victim)]
        set_up(victim.threads)
        shop = victim_fit(victim, query.data, key, registry, cache, device, np.empty(0, dtype=np.int64))
        if not shop.kept():
            say(f"fitting {label_of(victim)}: no checkpoint is kept")
        answers.append(_recommendation(victim, query, shop.fitted, shop.checkpoint))
    return answers


def _recommendation(victim: Victim, query: Query, made: Callable[[], Fitted], checkpoint: Path) -> Recommendation:
    try:
        model = made().model
        lines, who = query.answer(model), query.who(model)
    except PluginError as error:
        raise UserError(str(error), where=label_of(victim)) from error
    return Recommendation(label_of(victim), data_role(victim), who, checkpoint, lines)


def _chosen(cells: Iterable[Cell], seeds: Iterable[int], asked: Ask) -> list[Cell]:
    """A cell of each unpoisoned victim that matches the filters, of one seed."""
    able = [cell for cell in cells if not cell.skip and cell.victim.poison is None]
    for kind in ("model", "defense"):
        wanted = getattr(asked, kind)
        if wanted is None:
            continue
        parts = [getattr(cell.victim, kind) for cell in able]
        names = identified({kind: wanted}, [cell.columns() for cell in able])[kind]
        able = [cell for cell, part in zip(able, parts, strict=True) if part.name in names or part.label in names]
        if not able:
            hint = did_you_mean(wanted, {part.label for part in parts})
            raise UserError(f"no {kind} '{wanted}' among the victims", path=f"--{kind}", hint=hint)
    able = chosen(able, asked.only)
    known = [seed for seed in seeds if any(cell.victim.seed == seed for cell in able)]
    seed = known[0] if asked.seed is None and known else asked.seed
    if seed not in known:
        raise UserError(f"no victim has seed {seed}", path="--seed", hint=f"known: {', '.join(map(str, known))}")
    return list({cell.victim.id: cell for cell in able if cell.victim.seed == seed}.values())


def of_checkpoint(path: Path, asked: Ask, registry: Registry, say: Say) -> list[Recommendation]:
    """The list of the victim whose checkpoint a file is; its data comes from the cache that it lies in."""
    given = [f"--{name}" for name in ("model", "defense", "seed") if getattr(asked, name) is not None]
    given += [*(["--only"] if asked.only else []), *(["--set"] if asked.overrides else [])]
    if given:
        raise UserError("a checkpoint is one victim, and this chooses among a suite's", path=", ".join(given))
    state, origin = _read(path)
    try:
        victim = victim_from_payload(origin["victim"])
        key = DataKey(str(origin["data_key"]), str(origin["data"]))
        device = pick_device("cpu" if origin["device"] == "cpu" else "auto")
        train, code = str(origin["train"]), origin["code"]
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_checkpoint(path, f"its notes are damaged at {error}") from None
    if not re.fullmatch("[0-9a-f]{32}", key.key):
        raise _no_checkpoint(path, "its notes are damaged at 'data_key'")
    _check_plugins(path, victim, registry)
    inside = path.resolve().parents
    cache = Cache(inside[2]) if len(inside) > 2 and inside[1].name == "checkpoints" else Cache(default_folder())
    data = _data(path, cache, key)
    query = Query.of(asked, data, data_role(victim))
    set_up(victim.threads)
    targets = targets_of(victim, data.train) if victim.poison else np.empty(0, dtype=np.int64)
    try:
        shop = victim_fit(victim, data, key, registry, cache, device, targets)
        same = shop.code() == code
        if shop.train_sha != train:
            raise UserError("its poisoning or defence now gives other training data", where=str(path))
        fitted = shop.restored(state)
    except UserError:
        raise
    except Exception as error:  # whatever a plugin of another version raises when it meets this state
        problem = f"{type(error).__name__}: {error}"
        raise UserError(f"it does not fit the models that are installed: {problem}", where=str(path)) from error
    if not same:
        say("the code of robench or of a plugin has changed since this checkpoint was fitted")
    return [_recommendation(victim, query, lambda: fitted, path)]


def _check_plugins(path: Path, victim: Victim, registry: Registry) -> None:
    """A victim of a plugin that is not loaded here is refused with the plugin's name."""
    parts: list[tuple[Kind, Part]] = [("model", victim.model), ("defense", victim.defense)]
    parts += [("attack", victim.poison.attack)] if victim.poison else []
    for kind, part in parts:
        if not (isinstance(part.name, str) and isinstance(part.owner, str)):
            raise _no_checkpoint(path, f"its notes are damaged at '{kind}'")
        try:
            registry.resolve(kind, part.name)
        except UserError as error:
            hint, owner = error.hint, part.owner.removesuffix(f":{EXTRA}")
            if owner and error.problem.startswith("unknown") and part.owner not in registry.broken:
                hint = f"it came from {owner}: install that, or name its module in {EXTRA}"
            raise UserError(error.problem, where=str(path), hint=hint) from None


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of a checkpoint, and what it says about its victim."""
    if path.is_dir():
        raise _no_checkpoint(path, "it is a folder")
    try:
        state, notes = read_entry(path)
    except FileNotFoundError:
        hint = "robench recommend SUITE prints where they lie"
        raise UserError("no such checkpoint", where=str(path), hint=hint) from None
    except OSError as error:
        raise _no_checkpoint(path, f"it cannot be read: {error}") from None
    except SafetensorError as error:
        raise _no_checkpoint(path, f"it is damaged or of another format: {error}") from None
    except json.JSONDecodeError:
        raise _no_checkpoint(path, "its notes are damaged") from None
    origin = notes.get("origin") if isinstance(notes, dict) else None
    if not isinstance(origin, dict):
        raise _no_checkpoint(path, "it does not say which victim it is")
    return state, origin


def _no_checkpoint(path: Path, problem: str) -> UserError:
    hint = "a checkpoint is what robench run keeps under checkpoints/ of its cache"
    return UserError(f"no checkpoint that can be used: {problem}", where=str(path), hint=hint)


def _data(path: Path, cache: Cache, key: DataKey) -> Prepared:
    """The prepared data that a checkpoint was fitted on."""
    place = path_of(cache, key.key)
    hint = "robench recommend SUITE prepares it again"
    gone = f"delete it: {hint}"
    try:
        data = Prepared.load(place)
    except FileNotFoundError:
        raise UserError(f"its data is not in the cache: {place}", where=str(path), hint=hint) from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        raise UserError(f"its data cannot be read: {place}", where=str(path), hint=gone) from None
    if data.sha256() != key.sha256:
        raise UserError(f"its data has changed: {place}", where=str(path), hint=gone)
    return data
