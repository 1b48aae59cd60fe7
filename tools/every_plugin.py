"""Writes a small suite with every built-in model, defence, attack and metric.

    python tools/every_plugin.py FOLDER
    python tools/same_cells.py OTHER_CHECKOUT FOLDER/every-plugin.yaml

The files of the data sets and of the weights are written too. The encoder and the decoder are tiny, and have random
weights. So the numbers of the suite have no meaning. The second command shows whether a change to the code changes a
number.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from robench.api.attacks.profile_file import ProfileFile

TESTS = Path(__file__).resolve().parents[1] / "tests"
WORDS = ("space", "wizard", "robot", "galaxy", "love", "kiss", "wedding", "heat", "night")
GENRES = ("Action", "Drama", "Comedy")
USERS, ITEMS = 30, 24
RANKING = ("ndcg", "recall", "hr", "precision", "mrr", "map", "t-hr", "t-ndcg", "rbo", "jaccard")
LISTS = ("coverage", "gini", "list-popularity", "novelty", "diversity")
METRICS = [
    *(f"{name}@10" for name in RANKING + LISTS),
    "t-percentile",
    "accuracy",
    "like-precision",
    "like-recall",
    "like-f1",
]
CORRUPTIONS = ("label-noise", "drop", "cold-start", "popularity-shift", "tail-drop", "end-drop", "time-jitter")
DETECTORS = ("near-duplicate", "pca-varselect", "degree-sad", "fap")
ADVERSARIAL = {"name": "adversarial-training", "lambda": 0.5, "epsilon": 0.05}


def datasets(folder: Path) -> list[dict[str, Any]]:
    """Returns the entries of the data sets.

    The files of data sets with a path are in ``folder``.
    """
    return [
        {
            "name": "csv",
            **{key: str(folder / f"{key}.csv") for key in ("path", "items", "users")},
            "item_vectors": {"file": str(folder / "vectors.npy"), "first_id": 0},
        },
        {"name": "recbole", "path": str(folder / "atomic")},
        {"name": "movielens", "path": str(folder / "movielens")},
        {"name": "sequences", "path": str(folder / "sequences.txt")},
        {"name": "amazon", "path": str(folder / "amazon.csv")},
        {"name": "synthetic", "users": 40, "items": 30, "interactions_per_user": 12, "vector_length": 4},
        {"name": "movielens-small", "min_user_interactions": 5, "min_item_interactions": 60},
    ]


def models(folder: Path) -> list[dict[str, Any]]:
    """Returns the entries of all models.

    Some models have several entries with different settings. The files of weights are in ``folder``.
    """
    short = {"dim": 8, "max_length": 10, "epochs": 2}
    bert = {"name": "text-bert", "weights": str(folder / "bert"), **short}
    llm = {
        "name": "llm", "weights": str(folder / "decoder"), "history_items": 2, "validation_users": 2,
        "fusion_weight": 0.5,
    }  # fmt: skip
    return [
        {"name": "popularity"},
        {"name": "user-knn", "k": 5},
        {"name": "item-knn", "k": 5},
        {"name": "content", "min_items": 1},
        {"name": "ease"},
        {"name": "wmf", "factors": 8, "iterations": 3},
        {"name": "bagging", "models": 3, "users": 0.5},
        {"name": "mf", "factors": 8, "epochs": 3},
        {"name": "vbpr", "factors": 4, "visual_factors": 4, "epochs": 3},
        {"name": "neumf", "epochs": 2},
        {"name": "multi-vae", "epochs": 2},
        {"name": "lightgcn", "epochs": 2},
        {"name": "lstm", "hidden": 8, **short},
        {"name": "gru4rec", "hidden": 8, **short},
        {"name": "sasrec", **short},
        {"name": "sasrec", "loss": "bce", "label": "pairwise sasrec", **short},
        {"name": "bert4rec", "min_epochs": 0, **short},
        bert,
        {**bert, "label": "tuned text-bert", "tuned_layers": 1, "inputs": "tokens", "history": "lstm", "epochs": 1},
        {"name": "tiger", "weights": str(folder / "bert"), "heads": 2, **short},
        {**llm, "candidates": 4},
        {**llm, "label": "trained llm", "candidates": 3, "retriever": "item-knn", "lora_rank": 2, "train_rows": 8},
        {**llm, "label": "llm after user-knn", "candidates": 3, "retriever": "user-knn", "max_tokens": 200},
        {"name": "chat", "candidates": 1},  # A single candidate needs no ranking, so no server is asked.
    ]


def defenses() -> list[dict[str, Any]]:
    """Returns the entries of all defences.

    Adversarial training and smoothing have several entries with different settings.
    """
    return [
        {"name": "none"},
        ADVERSARIAL,
        {**ADVERSARIAL, "label": "hinge", "norm": "l2", "inner": "pgd", "steps": 2, "loss": "hinge", "warmup": 1},
        {**ADVERSARIAL, "label": "noisy", "noise": 1},
        {"name": "apr"},
        {"name": "amr"},
        {"name": "vat"},
        {"name": "trades", "steps": 2},
        {"name": "sam"},
        {"name": "gaussian"},
        {"name": "smoothing", "draws": 2},
        {"name": "smoothing", "label": "median", "draws": 3, "average": "median"},
        {"name": "normalise"},
        {"name": "injection-filter"},
        {"name": "delimiters"},
        {"name": "denoise", "ramp": 1},
        {"name": "dp-gram", "delta": 1e-3},
        {"name": "dp-sgd", "eps_dp": 5, "delta": 0.001, "epochs": 1, "rate": 0.5},
        {"name": "popularity-randomisation"},
        {"name": "denoise", "label": "reweighted", "method": "r-ce"},
        *({"name": name} for name in DETECTORS),
    ]


def attacks(folder: Path) -> list[dict[str, Any]]:
    """Returns the entries of all attacks.

    Some attacks have several entries with different surfaces, norms, goals or settings. The files that attacks read are
    in ``folder``.
    """
    ball: dict[str, Any] = {"epsilon": 0.05}
    return [
        {"name": "random-noise", "draws": 3, **ball},
        {"name": "fgsm", "norm": "linf", **ball},
        {"name": "pgd", "steps": 3, "restarts": 2, **ball},
        {"name": "pgd", "label": "aimed pgd", "steps": 3, "restarts": 3, "k": 1, "loss": "margin", **ball},
        {"name": "pgd", "label": "pgd on tables", "surface": "parameters", "steps": 3, **ball},
        {"name": "pgd", "label": "pgd on vectors", "surface": "features", "steps": 3, **ball},
        {"name": "apgd", "steps": 5, "restarts": 2, **ball},
        {"name": "apgd", "label": "apgd l2", "norm": "l2", "loss": "margin", "steps": 5, "goal": "promote", **ball},
        {"name": "msap", "steps": 2, "epsilon": 0.5},
        {"name": "msap", "label": "msap uniform", "steps": 2, "start": "uniform", "epsilon": 0.5},
        {"name": "random-search", "queries": 8, **ball},
        {"name": "random-search", "label": "search linf", "norm": "linf", "queries": 8, **ball},
        {"name": "smooth-rank", "norm": "l2", "steps": 6, **ball},
        {"name": "cw", "steps": 4, "search": 2, **ball},
        {"name": "auto", **ball},
        {"name": "auto", "label": "auto history", "surface": "history", "epsilon": 1},
        {"name": "auto", "label": "auto words", "surface": "text", "epsilon": 0.5},
        {"name": "auto", "label": "auto characters", "surface": "text", "unit": "characters", "epsilon": 0.34},
        {"name": "random-edit", "draws": 3, "epsilon": 2},
        {"name": "greedy-edit", "queries": 6, "epsilon": 2},
        {"name": "edit-effects", "inserted": 6, "verified": 4, "places": 2, "epsilon": 2},
        {"name": "edit-effects", "label": "at the end", "place": "end", "plausible": 0.1, "inserted": 6, "epsilon": 2},
        {"name": "greedy-edit", "label": "every edit", "queries": None, "goal": "promote", "epsilon": 1},
        {"name": "greedy-gradient", "candidates": 4, "epsilon": 2},
        {"name": "random-rewrite", "draws": 3, "epsilon": 1},
        {"name": "random-rewrite", "label": "random demotion", "draws": 3, "goal": "untargeted", "epsilon": 1},
        {"name": "typo", "draws": 3, "rounds": 3, "epsilon": 0.34},
        {"name": "typo", "label": "typo demotion", "looks": 3, "goal": "untargeted", "epsilon": 0.34},
        {"name": "prefix", "pool": 4, "titles": 3, "epsilon": 1},
        {"name": "prefix", "label": "keywords", "source": "keywords", "looks": 3, "goal": "untargeted", "epsilon": 1},
        {"name": "rewrite", "weights": str(folder / "decoder"), "proposals": 2, "rounds": 2, "epsilon": 2},
        {"name": "collide", "weights": str(folder / "bert"), "candidates": 5, "looks": 2, "epsilon": 0.5},
        {"name": "prompt-injection", "epsilon": 3},
        {"name": "hotflip", "verify": 2, "epsilon": 0.5},
        {"name": "hotflip", "label": "hotflip demotion", "verify": 2, "goal": "untargeted", "epsilon": 0.5},
        {"name": "bandwagon", "epsilon": 0.1},
        {"name": "bandwagon", "label": "demotion", "goal": "demote", "knowledge": {"data": 0.5}, "epsilon": 0.1},
        {"name": "random-profiles", "epsilon": 0.1},
        {"name": "random-profiles", "label": "degradation", "goal": "untargeted", "epsilon": 0.1},
        {"name": "segment", "epsilon": 0.1},
        {"name": "imported-profiles", "file": str(folder / "profiles.json"), "epsilon": 0.1},
        {"name": "revadv", "steps": 2, "sharpness": 0.1, "epsilon": 0.1},
        {"name": "pga", "steps": 2, "epsilon": 0.1},
        {"name": "dpa2dl", "first_steps": 5, "steps_per_fake": 1, "poison_steps": 1, "epsilon": 0.1},
        {"name": "rapu-r", "first_steps": 5, "steps_per_fake": 1, "epsilon": 0.1},
        {"name": "copy-profile", "place_targets": "behind", "epsilon": 0.1},
        {"name": "miars"},
        {"name": "score-membership"},
        *({"name": name, "epsilon": 0.2} for name in CORRUPTIONS),
    ]


def labels(entries: list[dict[str, Any]], *left_out: str) -> list[str]:
    """Returns the labels of the entries, except those in ``left_out``.

    The name of an entry serves as its label if no label is given.
    """
    return [label for entry in entries if (label := entry.get("label", entry["name"])) not in left_out]


def suite(folder: Path) -> dict[str, Any]:
    """Returns the content of the suite.

    The first data set is used with all models, defences and attacks, but not with every combination. The other data
    sets are used with ``popularity`` and ``mf``, without a defence, and with ``pgd`` as the only attack.
    """
    learned, defended, attacking = models(folder), defenses(), attacks(folder)
    elsewhere = ["recbole", "movielens", "sequences", "amazon", "synthetic", "movielens-small"]
    few = ("none", "dp-gram", "normalise", "injection-filter", "delimiters")
    reading = (
        "fgsm",
        "random-edit",
        "greedy-edit",
        "random-rewrite",
        "prefix",
        "rewrite",
        "collide",
        "prompt-injection",
        "hotflip",
    )
    text = ("text-bert", "tuned text-bert", "tiger", "llm", "trained llm", "llm after user-knn", "chat")
    return {
        "name": "every-plugin",
        "seeds": [0],
        "datasets": datasets(folder),
        "users": {"sample": 10, "seed": 0},
        "metrics": METRICS,
        "models": learned,
        "defenses": defended,
        "attacks": attacking,
        "targets": {"count": 2, "pick": "random", "sets": 1},
        "exclude": [
            {"dataset": elsewhere, "defense": labels(defended, "none")},
            {"dataset": elsewhere, "model_label": labels(learned, "popularity", "mf")},
            {"dataset": elsewhere, "attack": labels(attacking, "pgd")},
            {"dataset": "movielens-small", "model": "mf"},
            {"model_label": labels(learned, "mf"), "attack": ["bandwagon", "random-profiles", *CORRUPTIONS]},
            {"defense": labels(defended, "none"), "attack": list(CORRUPTIONS)},
            {"model_label": labels(learned, "mf", "lstm", *text), "defense_label": labels(defended, *few)},
            {"model_label": ["trained llm", "llm after user-knn"], "defense_label": labels(defended, "none")},
            {"model_label": list(text), "defense": ["apr", "vat", "trades", "sam", "gaussian", "denoise"]},
            {"model_label": list(text), "defense_label": ["hinge", "noisy", "median"]},
            {"model": "llm", "defense": ["adversarial-training", "smoothing"]},
            {"model": ["llm", "chat"], "attack": labels(attacking, *reading)},
            {"model_label": ["trained llm", "llm after user-knn"], "attack": labels(attacking, "fgsm")},
            {"model_label": "tuned text-bert", "attack": labels(attacking, "fgsm", "pgd", "hotflip", "random-edit")},
            {"model_label": labels(learned, "mf", "lstm"), "attack_label": "auto"},
            {"model_label": labels(learned, "item-knn", "lstm"), "attack_label": ["auto history", "every edit"]},
            {"model_label": "content", "attack_label": ["auto words", "auto characters"]},
            {
                "defense": labels(defended, "none", *DETECTORS),
                "attack": labels(attacking, "fgsm", "pgd", "random-rewrite"),
            },
            {"defense": list(DETECTORS), "attack": labels(attacking, "bandwagon")},
            {"model_label": labels(learned, "mf"), "defense": list(DETECTORS)},
        ],
    }


def write_data(folder: Path) -> None:
    """Writes interactions, items and users as CSV files.

    The interactions are also written in the formats of the other data sets with a path. Two of these formats include
    the items. The function also writes a file of fake users for ``imported-profiles``.
    """
    rng = np.random.default_rng(0)
    rows = [(u, i, t) for u in range(USERS) for t, i in enumerate(rng.permutation(ITEMS)[: rng.integers(6, 14)])]
    titles = [" ".join(rng.choice(WORDS, rng.integers(2, 5))) for _ in range(ITEMS)]
    items = [(i, title, 1980 + i, GENRES[i % 3]) for i, title in enumerate(titles)]
    users = [(u, 20 + u) for u in range(USERS)]
    atomic = folder / "atomic"
    atomic.mkdir()
    _write_table(folder / "path.csv", ["user", "item", "time"], rows, ",")
    _write_table(folder / "items.csv", ["item", "title", "year", "genres"], items, ",")
    np.save(folder / "vectors.npy", rng.normal(size=(ITEMS, 5)).astype(np.float32))
    _write_table(folder / "users.csv", ["user", "age"], users, ",")
    _write_table(atomic / "tiny.inter", ["user_id:token", "item_id:token", "timestamp:float"], rows, "\t")
    header = ["item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq"]
    _write_table(atomic / "tiny.item", header, items, "\t")
    movielens = folder / "movielens"
    movielens.mkdir()
    rated = [(u, i, 3, t) for u, i, t in rows]
    _write_table(movielens / "ratings.csv", ["userId", "movieId", "rating", "timestamp"], rated, ",")
    movies = [(i, f"{title} ({year})", genres) for i, title, year, genres in items]
    _write_table(movielens / "movies.csv", ["movieId", "title", "genres"], movies, ",")
    (folder / "sequences.txt").write_text("".join(f"{u} {i}\n" for u, i, _ in rows), encoding="utf-8")
    # Each profile has all items, so it has a target whatever the suite draws.
    profiles = ProfileFile("VAT", ("0",), (tuple(map(str, range(ITEMS))),))
    (folder / "profiles.json").write_text(profiles.to_text(), encoding="utf-8")
    _write_table(folder / "amazon.csv", ["user_id", "parent_asin", "rating", "timestamp"], rated, ",")


def _write_table(path: Path, header: list[str], rows: list[Any], separator: str) -> None:
    lines = [separator.join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Writes the suite and all its files to the folder on the command line.

    The folder must not exist yet.
    """
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    write_data(folder)
    sys.path.insert(0, str(TESTS))  # tests is not a package that a script can import
    from tiny_bert import tiny_bert  # noqa: PLC0415
    from tiny_decoder import tiny_decoder  # noqa: PLC0415

    tiny_bert(folder / "bert")
    tiny_decoder(folder / "decoder")
    text = yaml.safe_dump(suite(folder), sort_keys=False)
    (folder / "every-plugin.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
