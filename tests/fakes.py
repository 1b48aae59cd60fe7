"""A folder of results with made-up cells, for the tests of tables and reports."""

import json
import random

import numpy as np

from robench.api.codec import columns, decode, encode
from robench.store.folder import Store
from robench.store.record import new_record
from robench.tables.build import build_tables
from robench.tables.curves import CurveRow
from robench.tables.twins import TwinRow
from robench_plugins.metrics.ranking import Ndcg
from robench_plugins.metrics.stability import Rbo
from robench_plugins.metrics.targets import TargetHitRate, TargetPercentile

USERS = 200
METRICS = {"ndcg": Ndcg(), "rbo": Rbo(), "t-hr": TargetHitRate(), "t-percentile": TargetPercentile()}
L2 = {"stage": "test", "surface": "embedding", "norm": "l2", "scale": "relative", "goal": "untargeted", "k": 10}
FAKES = {"stage": "train", "surface": "interactions", "norm": "users", "scale": "relative", "goal": "promote", "k": 10}
PROMOTED = {**L2, "goal": "promote"}
TABLES = {**L2, "surface": "parameters"}
NOTHING = dict.fromkeys(("stage", "surface", "norm", "scale", "goal"), "") | {"k": None}
KINDS = {
    "fgsm": "gradient",
    "pgd": "gradient",
    "random-noise": "floor",
    "random-search": "black-box",
    "auto": "ensemble",
}
EMBEDDING = {**L2, "metric": "ndcg@10", "epsilon": 0.05}
PARAMETERS = {**TABLES, "metric": "ndcg@10", "epsilon": 0.05}
POISONING = {**FAKES, "metric": "t-hr@10", "epsilon": 0.05}


class World:
    """A folder of results that is filled cell by cell.

    Args:
        folder: The folder to write.
        ranking: The ``ranking`` of the plan, a list of mappings.
    """

    def __init__(self, folder, ranking):
        self.store, self.cells, self.ranking = Store(folder), [], ranking
        self.metrics = ["ndcg@10", "rbo@10", "t-hr@10", "t-percentile"]

    def cell(self, ranks, *, model="mf", seed=0, weight=1.0, attack="none", epsilon=0.0, threat=None, **more):
        """Adds a cell and returns its columns.

        Args:
            ranks: The rank of each user's held-out item.
            model: The model's name.
            seed: The victim's seed.
            weight: λ of the defence ``at``; 1 is the undefended model.
            attack: The attack's name.
            epsilon: The budget.
            threat: The columns of the threat model; by default those of ``attack``.
            **more: Columns, or entries of the record and its arrays, that differ from the usual ones.
        """
        name = f"{len(self.cells):016x}"
        threat = threat or (NOTHING if attack == "none" else L2)
        defense = "none" if weight == 1 else "at"
        victim = f"{model}-{weight}-{seed}" + ("-p" if threat is FAKES else "")
        columns = {
            "cell": name,
            "victim": victim,
            "dataset": "d",
            "split": "s",
            "model": model,
            "model_label": model,
            "defense": defense,
            "defense_label": defense,
            "lambda": weight,
            "train_epsilon": None if weight == 1 else 0.05,
            "attack": attack,
            "attack_label": more.pop("label", attack),
            **threat,
            "epsilon": epsilon,
            "adaptive": more.pop("adaptive", ""),
            "kind": more.pop("kind", KINDS.get(attack, "")),
            "target_set": more.pop("target_set", 0) if threat is FAKES or threat["goal"] == "promote" else None,
            "seed": seed,
            "status": "planned",
            "reason": "",
        }
        self.cells.append(columns)
        status = more.pop("status", "ok")
        if status == "missing":
            return columns
        ranks = np.asarray(ranks, dtype=np.int64)
        n = len(ranks)
        arrays = {
            "users": np.arange(n),
            "indptr": np.arange(n + 1),
            "ranks": ranks,
            "top": np.tile(np.arange(10), (n, 1)),
            "candidates": np.full(n, 100),
            **{key: np.asarray(value) for key, value in more.pop("arrays", {}).items()},
        }
        if attack != "none" and threat is L2:
            arrays.setdefault("loss", np.ones(n))
            arrays.setdefault("clean_loss", np.ones(n))
            arrays.setdefault("hit", np.ones(n, dtype=bool))
        record = new_record(
            name,
            victim,
            status,
            spec={
                "attack": {"config": more.pop("config", {})},
                "victim": {"defense": {"config": {"lambda": weight, **more.pop("settings", {})}}},
            },
            metrics={"ndcg@10": {"value": 0.5, "version": more.pop("version", 1)}},
            achieved={
                "epsilon": epsilon,
                "overshoot": more.pop("overshoot", 1.0),
                "queries": more.pop("queries", 0),
                "gradients": 0,
                **more.pop("achieved", {}),
            },
            diagnostics={
                "zero_gradient_share": more.pop("zero", 0.0),
                "non_finite_share": 0.0,
                "stochastic": more.pop("stochastic", 0.0),
                "expectation": more.pop("expectation", 1),
                **more.pop("diagnostics", {}),
            },
            reading=more.pop("reading", {}),
            members=more.pop("members", []),
            titles=more.pop("titles", []),
            fit=more.pop("fit", {}),
            seconds=1.0,
            fit_seconds=2.0,
            peak_memory_mib=3.0,
            error=more.pop("error", None),
        )
        self.store.write(record, arrays if status == "ok" else None)
        return columns

    def build(self, shuffle=False):
        """Writes the plan and returns the tables; ``shuffle`` puts the cells in another order."""
        cells = random.Random(0).sample(self.cells, len(self.cells)) if shuffle else self.cells
        plan = {
            "format_version": 1,
            "suite": "w",
            "protocol_version": 1,
            "metrics": self.metrics,
            "ranking": self.ranking,
            "targets": {"count": 1, "pick": "unpopular", "sets": 1},
            "seeds": [0, 1],
            "cells": cells,
        }
        self.store.cells.mkdir(parents=True, exist_ok=True)
        (self.store.folder / "plan.json").write_text(json.dumps(plan))
        return build_tables(self.store.folder, METRICS)


def ranks(good, bad, n=USERS):
    """Returns ranks: 1 for the first ``good`` users, ``bad`` for the others."""
    return [1] * good + [bad] * (n - good)


def row(tables, **values):
    """Returns the first leaderboard row with these values."""
    return next(r for r in tables.rows() if values.items() <= flat(r).items())


def flat(row):
    """Returns the columns of a row as leaderboard.csv has them."""
    plain = encode(row)
    return {name: plain[name] for name in columns(type(row))}


HEAD = {"dataset": "d", "split": "s", "model": "m", "defense": "at", "train_epsilon": None, **L2, "seeds": 2}


def curve(values, **more):
    """Returns a curve of the undefended mf under pgd."""
    head = {**HEAD, "model_label": "mf", "defense_label": "none", "lambda": 1.0, "attack_label": "pgd"}
    rest = {"metric": "ndcg@10", "epsilon": [0.0, 0.1, 0.2], "value": values, "area": 0.5}
    return decode(CurveRow, head | rest | more)


def twin(defence, metric, *means):
    """Returns a row about the twins of an lstm under fgsm.

    Args:
        defence: The label of the defence.
        metric: The measure.
        means: Of the undefended model, clean and attacked, and of the robust one, clean and attacked.
    """
    head = {**HEAD, "model_label": "lstm", "defense_label": defence, "lambda": 0.5, "attack_label": "fgsm"}
    names = ("twin_clean", "twin_attacked", "robust_clean", "robust_attacked", "gain")
    intervals = {name: [mean, mean - 0.1, mean + 0.1] for name, mean in zip(names, (*means, 0.0), strict=True)}
    return decode(TwinRow, head | {"epsilon": 0.05, "metric": metric, "inverted": [0, 0]} | intervals)
