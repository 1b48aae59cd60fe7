"""Reads a checkpoint without its suite.

A checkpoint holds a victim, the state of its model, and the key of the data that the model was fitted on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from robench.api.errors import UserError
from robench.engine.data.prepared import Prepared
from robench.files.cache import Cache, default_folder, read_entry
from robench.host.nearby import EXTRA
from robench.host.registry import Kind, Registry
from robench.run.data import DataKey, data_path
from robench.run.device import pick_device
from robench.run.task import victim_from_payload
from robench.spec import Part, Victim


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint file.

    Args:
        path: the file.
        state: the arrays of the model.
        victim: the victim that was fitted.
        key: the key and the digest of the prepared data.
        device: the device on which the victim is restored.
        train: the digest of the training data, after any changes by a poisoning or the defence.
        code: the digests of the code that fitted the model.
    """

    path: Path
    state: Mapping[str, NDArray[Any]]
    victim: Victim
    key: DataKey
    device: torch.device
    train: str
    code: object

    @property
    def cache(self) -> Cache:
        """The cache that contains the checkpoint file, or else the default cache."""
        parents = self.path.resolve().parents
        inside = len(parents) > 2 and parents[1].name == "checkpoints"
        return Cache(parents[2] if inside else default_folder())

    def data(self) -> Prepared:
        """Reads the prepared data that the model was fitted on.

        Raises:
            UserError: if the data is missing from the cache, is damaged, or has changed.
        """
        place = data_path(self.cache, self.key.key)
        hint = "robench recommend SUITE prepares it again"
        try:
            data = Prepared.load(place)
        except FileNotFoundError:
            raise UserError(f"its data is not in the cache: {place}", where=str(self.path), hint=hint) from None
        except Exception:  # readers raise many classes of exceptions on damaged files
            problem = f"its data cannot be read: {place}"
            raise UserError(problem, where=str(self.path), hint=f"delete it: {hint}") from None
        if data.sha256() != self.key.sha256:
            raise UserError(f"its data has changed: {place}", where=str(self.path), hint=f"delete it: {hint}")
        return data


def read_checkpoint(path: Path, registry: Registry) -> Checkpoint:
    """Reads a checkpoint.

    Args:
        path: a ``.safetensors`` file.
        registry: the plugins, which must offer the model, the defence and the attack of the victim.

    Raises:
        UserError: if the file is missing or damaged, is not a checkpoint, or needs a plugin that is not installed.
    """
    state, origin = _read(path)
    try:
        victim = victim_from_payload(origin["victim"])
        key = DataKey(str(origin["data_key"]), str(origin["data"]))
        device = pick_device("cpu" if origin["device"] == "cpu" else "auto")
        checkpoint = Checkpoint(path, state, victim, key, device, str(origin["train"]), origin["code"])
    except (KeyError, TypeError, AttributeError) as error:
        raise _unusable(path, f"its notes are damaged at {error}") from None
    if not re.fullmatch("[0-9a-f]{32}", key.key):
        raise _unusable(path, "its notes are damaged at 'data_key'")
    _check_plugins(path, victim, registry)
    return checkpoint


def _read(path: Path) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
    """Returns the arrays of a checkpoint, and the mapping that describes its origin.

    The mapping holds the victim, the device, and the digests of the data and the code.

    Raises:
        UserError: if the file is missing or damaged, or is not a checkpoint.
    """
    if path.is_dir():
        raise _unusable(path, "it is a folder")
    try:
        state, notes = read_entry(path)
    except FileNotFoundError:
        hint = "robench recommend SUITE prints where they lie"
        raise UserError("no such checkpoint", where=str(path), hint=hint) from None
    except OSError as error:
        raise _unusable(path, f"it cannot be read: {error}") from None
    except (SafetensorError, TypeError, ValueError) as error:
        raise _unusable(path, f"it is damaged or of another format: {error}") from None
    except UserError as error:
        problem = error.problem if error.problem.startswith("its content") else "its notes are damaged"
        raise _unusable(path, problem) from None
    origin = notes.get("origin") if isinstance(notes, dict) else None
    if not isinstance(origin, dict):
        raise _unusable(path, "it does not say which victim it is")
    return state, origin


def _check_plugins(path: Path, victim: Victim, registry: Registry) -> None:
    """Checks that the installed plugins offer a victim's model, defence and attack.

    Raises:
        UserError: if a component is missing or its description is damaged.
    """
    parts: list[tuple[Kind, Part]] = [("model", victim.model), ("defense", victim.defense)]
    parts += [("attack", victim.poison.attack)] if victim.poison else []
    for kind, part in parts:
        if not (isinstance(part.name, str) and isinstance(part.owner, str)):
            raise _unusable(path, f"its notes are damaged at '{kind}'")
        try:
            registry.resolve(kind, part.name)
        except UserError as error:
            hint, owner = error.hint, part.owner.removesuffix(f":{EXTRA}")
            if owner and error.problem.startswith("unknown") and part.owner not in registry.broken:
                hint = f"it came from {owner}: install that, or name its module in {EXTRA}"
            raise UserError(error.problem, where=str(path), hint=hint) from None


def _unusable(path: Path, problem: str) -> UserError:
    hint = "a checkpoint is what robench run keeps under checkpoints/ of its cache"
    return UserError(f"no checkpoint that can be used: {problem}", where=str(path), hint=hint)
