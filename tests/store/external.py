"""Writes external attacks on made-up cells, for tests."""

import numpy as np
from tests.fakes import PROVENANCE

from robench.store.artefact import parse_artefact
from robench.store.external import write_external
from robench.store.npz import arrays_to_bytes

USERS = 3


def make_artefact(cell="c" * 16, victim="d" * 16, author="Ann", shift=0.5):
    arrays = {"cell": cell, "victim": victim, "author": author, "users": [0], "delta/x": np.full((1, 2), shift)}
    return parse_artefact(arrays_to_bytes({name: np.asarray(part) for name, part in arrays.items()}), "a.npz")


def outcome(rank=5, users=USERS):
    return {
        "users": np.arange(users),
        "indptr": np.arange(users + 1),
        "ranks": np.full(users, rank),
        "top": np.tile(np.arange(10), (users, 1)),
        "candidates": np.full(users, 100),
    }


def write(folder, artefact, arrays, value=0.5, epsilon=0.05):
    content = {
        "surface": "embedding",
        "epsilon": epsilon,
        "metrics": {"ndcg@10": {"value": value, "version": 1}},
        "achieved": {"epsilon": epsilon},
        "diagnostics": {},
        "seconds": 1.0,
        "provenance": PROVENANCE,
    }
    return write_external(folder, artefact, content, arrays)
