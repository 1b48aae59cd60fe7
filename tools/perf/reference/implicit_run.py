"""Fits and measures a least-squares model of implicit 0.7.3 on an exported split.

    python implicit_run.py FOLDER NAME MODEL OUT.json '{"factors": 32, "alpha": 3, "regularization": 20}'

The script runs in a separate Python environment. FOLDER/NAME holds NAME.train.inter, NAME.valid.inter and
NAME.test.inter. Training and validation items are masked, and scores come from the trained user vectors. In implicit,
``alpha`` is the whole weight of an interaction: 1 + α in the notation of Hu et al. (2008).
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from implicit import als
from scipy import sparse


def pairs(file: Path) -> np.ndarray:
    """Returns the users and items of a file, int64 [n, 2]."""
    lines = file.read_text().splitlines()[1:]
    return np.array([[int(part[1:]) for part in line.split("\t")] for line in lines])


def main(folder: Path, name: str, model_name: str, out: Path, settings: dict) -> None:
    train, valid, test = (pairs(folder / name / f"{name}.{part}.inter") for part in ("train", "valid", "test"))
    shape = np.concatenate([train, valid, test]).max(0) + 1
    matrix = sparse.csr_matrix((np.ones(len(train), dtype=np.float32), train.T), shape=shape)
    start = time.process_time()
    model = getattr(als, model_name)(num_threads=1, random_state=0, dtype=np.float64, **settings)
    model.fit(matrix, show_progress=False)
    seconds = time.process_time() - start
    scores = model.user_factors @ model.item_factors.T
    for known in (train, valid):
        scores[known[:, 0], known[:, 1]] = -np.inf
    held = sparse.csr_matrix((np.ones(len(test)), test.T), shape=shape).toarray() > 0
    users = held.any(1)
    top = np.argsort(-scores[users], axis=1, kind="stable")[:, :10]
    hits = np.take_along_axis(held[users], top, axis=1)
    gains, count = 1 / np.log2(np.arange(2, 12)), held[users].sum(1)
    ideal = np.cumsum(gains)[np.minimum(count, 10) - 1]
    result = {
        "ndcg@10": float(((hits * gains).sum(1) / ideal).mean()),
        "recall@10": float((hits.sum(1) / count).mean()),
    }
    content = {"model": model_name, "settings": settings, "epochs": [{}] * model.iterations, "test": result}
    out.write_text(json.dumps(content | {"seconds": seconds}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]), json.loads(sys.argv[5]))
