"""The arrays of a cell and of users.npz: their names, kinds, shapes and ranges.

The arrays of a cell must agree with each other and with the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.store.facts import facts_arrays, find_facts_problem
from robench.store.npz import Arrays
from robench.store.record import Record

NEEDED = ("users", "indptr", "ranks", "top", "candidates")
# The allowed dtype kinds and the axes of each array. The axes are U users, n held-out items, T targets, M members
# and V users with fake users. A number stands for a fixed length, and None stands for any length.
SHAPES: Mapping[str, tuple[str, tuple[str | int | None, ...]]] = {
    "users": ("i", ("U",)),
    "indptr": ("i", ("U+1",)),
    "ranks": ("i", ("n",)),
    "top": ("i", ("U", 10)),
    "candidates": ("i", ("U",)),
    "targets": ("i", ("T",)),
    "target_ranks": ("i", ("T", "U")),
    "hit": ("b", ("U",)),
    "loss": ("fi", (None,)),
    "clean_loss": ("fi", (None,)),
    "l2": ("f", ("U",)),
    "linf": ("f", ("U",)),
    "spent": ("fi", ("U",)),
    "edits": ("i", ("U",)),
    "first": ("i", ("U",)),
    "radius": ("fi", ("U",)),
    "script": ("i", (None, 4)),
    "member_broke": ("i", ("U", "M")),
    "member_damage": ("f", ("U", "M")),
    "likes": ("f", ("n",)),
    "dislikes": ("f", ("n",)),
    "calibration": ("f", (2,)),
    "suspicion": ("f", ("V",)),
    "flagged": ("i", ("V",)),
    "item_votes": ("i", ("n",)),
    "other_votes": ("i", ("U", 10)),
    "fake_items": ("i", (None,)),
    "fake_lengths": ("i", (None,)),
}
UNBOUNDED = ("radius", "dislikes")  # radius: inf for unbroken users; dislikes: NaN for users without negatives


def find_array_problem(record: Record, arrays: Arrays) -> str:
    """Returns a description of a fault in a record's arrays, or an empty string.

    Arrays with unknown names are ignored.
    """
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        return f"the array '{missing[0]}' is missing"
    sizes: dict[str | int | None, int] = {"U": arrays["users"].size, "U+1": arrays["users"].size + 1}
    sizes |= {"n": arrays["ranks"].size}
    if members := record.get("members"):
        sizes["M"] = len(members)
    for name, array in arrays.items():
        if name in SHAPES and (problem := _shape_problem(name, array, sizes)):
            return problem
    return _range_problem(arrays, sizes["n"])


def _shape_problem(name: str, array: NDArray[Any], sizes: dict[str | int | None, int]) -> str:
    """Describes what is wrong with one array, or returns an empty string.

    The function checks the type, the shape, and whether the values are finite.

    ``sizes`` holds the known size of each axis. The function adds the size of each new axis.
    """
    kinds, axes = SHAPES[name]
    if array.dtype.kind not in kinds:
        return f"the array '{name}' has the type {array.dtype}"
    if array.ndim != len(axes):
        return f"the array '{name}' has {array.ndim} axes, not {len(axes)}"
    for axis, size in zip(axes, array.shape, strict=True):
        expected = axis if isinstance(axis, int) else size if axis is None else sizes.setdefault(axis, size)
        if size != expected:
            return f"the array '{name}' has the shape {array.shape}, which does not fit the others"
    if array.dtype.kind == "f" and name not in UNBOUNDED and not np.isfinite(array).all():
        return f"the array '{name}' has values that are not finite"
    return ""


def _range_problem(arrays: Arrays, count: int) -> str:
    """Describes an array with impossible values, or returns an empty string."""
    indptr, ranks, top = arrays["indptr"], arrays["ranks"], arrays["top"]
    sizes = indptr[1:] - indptr[:-1]  # numpy.diff is slower for so few numbers
    if indptr[0] != 0 or indptr[-1] != count or (sizes < 0).any():
        return "the array 'indptr' does not cut the ranks by user"
    lowest = {"users": 0, "ranks": 1, "candidates": 1, "top": -1, "targets": 0, "target_ranks": 0, "spent": 0}
    lowest |= {"fake_items": 0, "fake_lengths": 0, "item_votes": 0, "other_votes": 0}
    for name, least in lowest.items():
        if name in arrays and arrays[name].size and arrays[name].min() < least:
            return f"the array '{name}' has values below {least}"
    if "fake_items" in arrays and int(arrays.get("fake_lengths", np.empty(0)).sum()) != arrays["fake_items"].size:
        return "the array 'fake_lengths' does not cut the items of fake users"
    if len(np.unique(arrays["users"])) != len(arrays["users"]):
        return "the array 'users' has a user twice"
    best = np.sort(top, axis=1)
    if ((best[:, 1:] == best[:, :-1]) & (best[:, 1:] >= 0)).any():
        return "the array 'top' has an item twice in a list"
    per_user = np.repeat(arrays["candidates"], sizes)
    return "the array 'ranks' has ranks beyond the candidates" if (ranks > per_user).any() else ""


def find_user_problem(arrays: Arrays, known: Arrays) -> str:
    """Describes how a cell's arrays contradict users.npz, or returns an empty string.

    Args:
        arrays: the arrays of the cell, which have passed ``find_array_problem``.
        known: the arrays of users.npz for the cell's data set and split, by their short names.
    """
    users, bounds, items = arrays["users"], known["held_out_indptr"], len(known["title"])
    if not np.array_equal(users, known["user"]):
        return "its users are not those of users.npz"
    indptr = arrays["indptr"]
    if not np.array_equal(indptr[1:] - indptr[:-1], bounds[users + 1] - bounds[users]):
        return "its users have other numbers of held-out items in users.npz"
    for name in ("top", "targets", "fake_items"):
        if name in arrays and arrays[name].size and arrays[name].max() >= items:
            return f"the array '{name}' has items that users.npz does not know"
    return ""


def group_by_place(arrays: Arrays) -> dict[str, dict[str, NDArray[Any]]]:
    """Groups the arrays of users.npz by data set and split, and then by short name."""
    places: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        place, _, short = name.rpartition("/")
        places.setdefault(place, {})[short] = array
    return places


def find_users_problem(arrays: Arrays) -> str:
    """Describes a fault in the arrays of users.npz, or returns an empty string."""
    for place, known in group_by_place(arrays).items():
        kinds = {"user": "i", "user_id": "U", "held_out_indptr": "i", "held_out_items": "i", "title": "U"}
        for short, kind in kinds.items():
            if short not in known or known[short].dtype.kind != kind or known[short].ndim != 1:
                return f"'{place}/{short}' is missing, or no array of its kind"
        users, bounds, items = known["user"], known["held_out_indptr"], known["held_out_items"]
        if len(known["user_id"]) != len(users) or not len(bounds) or bounds[0] != 0 or bounds[-1] != len(items):
            return f"the arrays of '{place}' do not fit each other"
        if (np.diff(bounds) < 0).any() or (users < 0).any() or (users >= len(bounds) - 1).any():
            return f"the arrays of '{place}' do not fit each other"
        if (items < 0).any() or (items >= len(known["title"])).any():
            return f"the items of '{place}' are not those that have titles"
        if problem := find_facts_problem(known):
            return f"the facts about '{place}' {problem}"
    return ""


def users_arrays(name: str, data: Any, users: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Returns the arrays of users.npz for one data set and split.

    Args:
        name: the name of the data set and split, which is the prefix of all array names.
        data: the prepared data.
        users: the rows of the evaluated users, int64 [U].

    Returns:
        The arrays ``user``, int64 [U], ``user_id``, str [U], and ``title``, str [n_items]. The held-out items of all
        users are stored as CSR, in ``held_out_indptr`` and ``held_out_items``. ``facts_arrays`` adds the facts.
    """
    return facts_arrays(name, data, users) | {
        f"{name}/user": users,
        f"{name}/user_id": np.array([data.user_ids[u] for u in users.tolist()], dtype=np.str_),
        f"{name}/held_out_indptr": data.test.indptr,
        f"{name}/held_out_items": data.test.items,
        f"{name}/title": np.array([data.catalogue.title(i) for i in range(data.train.n_items)], dtype=np.str_),
    }
