"""Builds folders of results with made-up cells.

The tests of tables and reports use these folders.
"""

import json
import random

import numpy as np

from robench.api.codec import columns, decode, encode
from robench.api.digest import digest
from robench.store.folder import Store
from robench.store.record import new_record
from robench.store.seal import seal
from robench.tables.build import build_tables
from robench.tables.curves import CurveRow
from robench.tables.twins import TwinRow
from robench_plugins.metrics.ranking import Ndcg
from robench_plugins.metrics.stability import Rbo
from robench_plugins.metrics.targets import TargetHitRate, TargetNdcg, TargetPercentile

USERS = 200
METRICS = {
    "ndcg": Ndcg(),
    "rbo": Rbo(),
    "t-hr": TargetHitRate(),
    "t-ndcg": TargetNdcg(),
    "t-percentile": TargetPercentile(),
}
L2 = {"stage": "test", "surface": "embedding", "norm": "l2", "scale": "relative", "goal": "untargeted", "k": 10}
FAKES = {"stage": "train", "surface": "interactions", "norm": "users", "scale": "relative", "goal": "promote", "k": 10}
PROMOTED = {**L2, "goal": "promote"}
TABLES = {**L2, "surface": "parameters"}
EDITS = {**L2, "surface": "history", "norm": "edits", "scale": "absolute"}
NOTHING = dict.fromkeys(("stage", "surface", "norm", "scale", "goal"), "") | {"k": None}
KINDS = {
    "fgsm": "gradient",
    "pgd": "gradient",
    "random-noise": "floor",
    "random-search": "black-box",
    "auto": "ensemble",
}
MEMBER = {  # a member of an ensemble, as a record describes it
    "name": "pgd",
    "kind": "gradient",
    "everyone": True,
    "steps": 10,
    "users": USERS,
    "queries": 0,
    "gradients": 0,
}
FAILED = {"type": "ValueError", "message": "it failed", "traceback": ""}
PROVENANCE = {
    **dict.fromkeys(("robench", "python", "torch", "numpy", "platform", "device"), "1"),
    "plugins": {},
    "threads": 1,
    "code": {},
    "data_sha256": "of the data",
}
CHECKED = {
    **dict.fromkeys(("foreign_genuine", "foreign_ball", "hidden_context", "wrapped_inputs", "wrapped_places"), 0.0),
    **dict.fromkeys(("noise_genuine", "noise_ball", "declared_stochastic", "grad_mode", "saturated"), 0.0),
    **dict.fromkeys(("slope_own", "slope_random", "table_slope_own", "table_slope_random"), 0.01),
    "users": 64.0,
    "movement": 0.02,
    "rms": 0.5,
    "places": 10.0,
    "radius": 3.0,
}
EMBEDDING = {**L2, "metric": "ndcg@10", "epsilon": 0.05}
PARAMETERS = {**TABLES, "metric": "ndcg@10", "epsilon": 0.05}
POISONING = {**FAKES, "metric": "t-hr@10", "epsilon": 0.05}

TARGETS = {"count": 1, "pick": "unpopular", "sets": 1}


class World:
    """A folder of results that is filled cell by cell.

    Args:
        folder: The folder to write.
        ranking: The ``ranking`` of the plan, a list of mappings.
    """

    def __init__(self, folder, ranking):
        self.store, self.cells, self.ranking = Store(folder), [], ranking
        self.metrics = ["ndcg@10", "rbo@10", "t-hr@10", "t-percentile"]
        self.targets = dict(TARGETS)  # cells that promote other numbers of items need an entry before they are added

    def cell(self, ranks, *, model="mf", seed=0, weight=1.0, attack="none", epsilon=0.0, threat=None, **more):
        """Adds a cell to the plan and returns the columns of the cell.

        The function also stores the record, unless ``status`` is ``missing``. The arrays are stored if ``status`` is
        ``ok``.

        Args:
            ranks: The rank of each user's held-out item.
            model: The model's name.
            seed: The victim's seed.
            weight: λ of the defence ``at``; 1 is the undefended model.
            attack: The attack's name, or ``none`` for a clean cell.
            epsilon: The budget.
            threat: The columns of the threat model; the default is an untargeted attack on embeddings in L2.
            **more: Columns, record entries and arrays that differ from the defaults.
        """
        threat = threat or (NOTHING if attack == "none" else L2)
        defense = "none" if weight == 1 else "at"
        strength = {} if weight == 1 else {"lambda": weight, "epsilon": 0.05}
        label = more.pop("label", attack)
        poisoned = threat["stage"] == "train"
        target_set = more.pop("target_set", 0) if poisoned or threat["goal"] == "promote" else None
        settings = {**strength, **more.pop("settings", {})}
        dataset = more.pop("dataset", "d")
        spec = more.pop("spec", None) or spec_of(
            dataset=dataset,
            model=model,
            defense={"name": defense, "config": settings},
            attack=None
            if attack == "none"
            else {"name": attack, "config": {**more.pop("config", {}), "label": label, "threat": threat}},
            epsilon=epsilon,
            seed=seed,
            target_set=target_set,
            poisoned=poisoned,
            targets=dict(self.targets),
        )
        name, victim = digest(spec), digest(spec["victim"])
        columns = {
            "cell": name,
            "victim": victim,
            "dataset": dataset,
            "split": "s",
            "model": model,
            "model_label": model,
            "defense": defense,
            "defense_label": defense,
            "lambda": weight,
            "train_epsilon": settings.get("epsilon"),
            "attack": attack,
            "attack_label": label,
            **threat,
            "epsilon": epsilon,
            "adaptive": more.pop("adaptive", ""),
            "kind": more.pop("kind", KINDS.get(attack, "")),
            "target_set": target_set,
            "seed": seed,
            "status": "planned",
            "reason": "",
            **({"surrogate": more.pop("surrogate")} if "surrogate" in more else {}),
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
        checked = status == "ok" and threat["surface"] in ("embedding", "parameters")
        checks = more.pop("checks", CHECKED if checked else {})
        record = new_record(
            name,
            victim,
            status,
            **({"checks": checks} if checks else {}),
            spec=spec,
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
            **({"detection": more.pop("detection")} if "detection" in more else {}),
            members=[
                {"everyone": False, "steps": None, "users": 0, "queries": 0, "gradients": 0, "kind": "", **member}
                for member in more.pop("members", [])
            ],
            titles=more.pop("titles", []),
            fit=more.pop("fit", {}),
            seconds=1.0,
            fit_seconds=2.0,
            peak_memory_mib=3.0,
            error=more.pop("error", FAILED if status == "failed" else None),
            provenance={**PROVENANCE, "device": more.pop("device", "cpu")},
        )
        self.store.write(record, arrays if status == "ok" else None)
        return columns

    def facts(self, items=100, **arrays):
        """Writes users.npz, with facts about items and users.

        Args:
            items: The number of items.
            **arrays: Arrays that differ from the defaults, by short name.
        """
        known = {
            "user": np.arange(USERS),
            "user_id": np.arange(USERS).astype(np.str_),
            "held_out_indptr": np.arange(USERS + 1),
            "held_out_items": np.zeros(USERS, np.int64),
            "title": np.arange(items).astype(np.str_),
            "train_count": np.arange(items),
            "trained_users": np.array([USERS]),
            "genre": np.zeros((items, 0), np.bool_),
            "history_length": np.ones(USERS, np.int64),
        }
        self.store.cells.mkdir(parents=True, exist_ok=True)
        self.store.write_users({f"d/s/{name}": np.asarray(array) for name, array in (known | arrays).items()})

    def build(self, shuffle=False):
        """Writes the plan, builds the tables, and returns the tables.

        If ``shuffle`` is true, the plan lists the cells in another order.
        """
        cells = random.Random(0).sample(self.cells, len(self.cells)) if shuffle else self.cells
        plan = {
            "format_version": 1,
            "suite": "w",
            "protocol_version": 1,
            "metrics": self.metrics,
            "ranking": self.ranking,
            "targets": self.targets,
            "seeds": [0, 1],
            "cells": cells,
        }
        self.store.cells.mkdir(parents=True, exist_ok=True)
        (self.store.folder / "plan.json").write_text(json.dumps(seal(plan)))
        return build_tables(self.store.folder, METRICS)


def paths(folder):
    """Returns the paths of a folder's records, in the order of the plan.

    Cells without a record are left out.
    """
    files = (
        folder / "cells" / f"{cell['cell']}.json" for cell in json.loads((folder / "plan.json").read_text())["cells"]
    )
    return [file for file in files if file.exists()]


def spec_of(*, dataset, model, defense, attack, epsilon, seed, target_set, poisoned, targets=TARGETS):
    """Returns the spec of a cell.

    The digest of the spec is the id of the cell.
    """
    poison = {"attack": attack, "epsilon": epsilon, "target_set": target_set, "targets": targets}
    return {
        "victim": {
            "dataset": {"name": dataset, "config": {}},
            "split": {"name": "s", "config": {}},
            "model": {"name": model, "config": {}},
            "defense": defense,
            "seed": seed,
            "threads": 1,
            "poison": poison if poisoned else None,
            "protocol": 1,
        },
        "attack": None if poisoned else attack,
        "epsilon": 0.0 if poisoned else epsilon,
        "users": None,
        "targets": None if target_set is None or poisoned else {**targets, "set": target_set},
    }


def ranks(good, bad, n=USERS):
    """Returns one rank per user: 1 for the first ``good`` users, else ``bad``."""
    return [1] * good + [bad] * (n - good)


def row(tables, **values):
    """Returns the first leaderboard row that has the given values."""
    return next(r for r in tables.rows() if values.items() <= flat(r).items())


def flat(row):
    """Returns a row as a dict, with the column names of leaderboard.csv."""
    plain = encode(row)
    return {name: plain[name] for name in columns(type(row))}


HEAD = {"dataset": "d", "split": "s", "model": "m", "defense": "at", "train_epsilon": None, **L2, "seeds": 2}


def curve(values, **more):
    """Returns the curve of the undefended model ``mf`` under ``pgd``.

    Args:
        values: The values at ε = 0, 0.1 and 0.2.
        **more: Entries that differ from the defaults.
    """
    head = {**HEAD, "model_label": "mf", "defense_label": "none", "lambda": 1.0, "attack_label": "pgd"}
    rest = {"metric": "ndcg@10", "epsilon": [0.0, 0.1, 0.2], "value": values, "area": 0.5}
    return decode(CurveRow, head | rest | more)


def twin(defence, metric, *means):
    """Returns a row that compares two ``lstm`` under ``fgsm``.

    One model is defended, and the other one is not.

    Args:
        defence: The label of the defence.
        metric: The measure.
        means: Four means: the undefended model, clean and attacked, then the robust model, clean and attacked.
    """
    head = {**HEAD, "model_label": "lstm", "defense_label": defence, "lambda": 0.5, "attack_label": "fgsm"}
    names = ("twin_clean", "twin_attacked", "robust_clean", "robust_attacked", "gain")
    intervals = {name: [mean, mean - 0.1, mean + 0.1] for name, mean in zip(names, (*means, 0.0), strict=True)}
    return decode(TwinRow, head | {"epsilon": 0.05, "metric": metric, "inverted": [0, 0]} | intervals)
