"""Writes robench's own splits of MovieLens 100K as RecBole files.

    python export.py ML100K_FOLDER OUT

Robench and RecBole then use the same interactions.
"""

import sys
from pathlib import Path

import numpy as np

from robench.engine.data.prepare import prepare
from robench.spec import Part
from robench_plugins.datasets.recbole import Recbole

SPLITS = {
    "random": Part("random-ratio", {"ratios": [0.8, 0.1, 0.1], "seed": 0}, "random-ratio"),
    "last": Part("leave-last-out", {"seed": 0}, "leave-last-out"),
}


def prepared(source: Path, split: str):
    """Returns the data of a split, prepared without filters."""
    data = Recbole.make(path=source)
    return prepare(data.load(), data.config, SPLITS[split])


def rows(interactions) -> list[str]:
    return [f"u{u}\ti{i}" for u, i in zip(interactions.users().tolist(), interactions.items.tolist(), strict=True)]


def main(source: Path, out: Path) -> None:
    data = prepared(source, "random")
    folder = out / "random"
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", data.train), ("valid", data.validation), ("test", data.test)):
        text = "\n".join(["user_id:token\titem_id:token", *rows(part)])
        (folder / f"random.{name}.inter").write_text(text + "\n")
    data = prepared(source, "last")
    folder = out / "last"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(data.train.n_users):
        row = np.concatenate([part.row(user) for part in (data.train, data.validation, data.test)])
        # Positions replace times, because ties are frequent and both libraries must break ties alike.
        lines += [f"u{user}\ti{item}\t{place}" for place, item in enumerate(row.tolist())]
    (folder / "last.inter").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
