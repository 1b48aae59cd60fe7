"""Compares the time of a fit of item-knn with that of the package implicit.

    python tools/perf/item_knn.py ML100K_FOLDER [--rounds 7]

ML100K_FOLDER holds ml-100k.inter. Both programs find 50 neighbours per item on the training part of a random split.
They take turns in this process, on one thread. The script compares the CPU times of their fastest rounds, and the
similarities of the pairs that both list. The exit code is 1 if robench needs more than twice the time. The package
implicit must be installed. This package counts an item as its own neighbour.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parent / "reference"))
import export  # the script in the folder reference
from implicit.nearest_neighbours import CosineRecommender

from robench.api import Rng
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.sparse_matrix import interaction_matrix

MOST = 2.0


def seconds(work, *given, **more):
    """Returns the CPU seconds of a call."""
    start = time.process_time()
    work(*given, **more)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # implicit converts its own matrices
    data = export.prepared(given.source, "random").train_data()
    matrix = sparse.csr_matrix(interaction_matrix(data.train))
    ours, theirs = [], []
    for _ in range(given.rounds):
        model, other = ItemKnn.make(), CosineRecommender(K=50, num_threads=1)
        ours.append(seconds(model.fit, data, Rng(0)))
        theirs.append(seconds(other.fit, matrix, show_progress=False))
    ratio = min(ours) / min(theirs)
    print(f"{data.n_users} users x {data.n_items} items, {len(data.train)} interactions, {given.rounds} rounds")
    print(f"item-knn {min(ours):.4f} s, implicit {min(theirs):.4f} s: {ratio:.2f}x (goal: at most {MOST:.1f}x)")
    one, two = model.similarity.T.toarray(), other.similarity.toarray()
    both = (one > 0) & (two > 0)
    print(f"{both.sum()} similarities in both, largest difference {np.abs(one - two)[both].max():.1e}")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
