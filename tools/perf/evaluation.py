"""Measures the cost of full-ranking evaluation against the bare matrix product.

    python tools/perf/evaluation.py [--users 6040] [--items 40000] [--targets 0] [--rounds 5]

The evaluation is everything between a fitted model and the numbers of a clean cell: the scores, masks, ranks, top-10
lists, and the default metrics of a suite. Every full ranking needs the bare product. It is computed in blocks of two
sizes: the chunks of the evaluation, and 1,024 users. The evaluation and the product take turns in this process, on one
thread. The CPU times of the fastest rounds are compared. The script also prints the peak memory of the evaluation.
``--targets 5`` adds the ranks of five promoted items. The script starts itself again with the environment of a worker,
because the settings of the allocator matter.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from worker_environment import enter_worker_environment  # a module in the same folder

from robench.api import PairwiseModel
from robench.api.data import Interactions
from robench.api.metric import Measure
from robench.engine.measure import MeasuredVictim
from robench.engine.rank.chunk import chunk_size
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.store.record import build_outcome
from robench.suite.schema import DEFAULT_METRICS
from robench.testing.worlds import ReferencePairwise

FACTORS, KNOWN = 64, 165


def peak() -> float:
    """Returns the peak memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def interactions(n_users: int, n_items: int) -> tuple[Interactions, Interactions]:
    """Returns about 165 known items and one held-out item for each user.

    The held-out item is not among the known items.
    """
    generator = np.random.default_rng(0)
    lengths = np.minimum(generator.geometric(1 / KNOWN, n_users) + 1, n_items // 2)
    rows = [generator.choice(n_items, length + 1, replace=False) for length in lengths]
    return Interactions.from_rows([r[:-1] for r in rows], n_items), Interactions.from_rows(
        [r[-1:] for r in rows], n_items
    )


def fitted(n_users: int, n_items: int) -> PairwiseModel:
    """Returns a model with random vectors."""
    model, generator = ReferencePairwise(), torch.Generator().manual_seed(0)
    model.user_vectors = torch.nn.Embedding(
        n_users, FACTORS, _weight=torch.randn(n_users, FACTORS, generator=generator)
    )
    model.item_vectors = torch.nn.Embedding(
        n_items, FACTORS, _weight=torch.randn(n_items, FACTORS, generator=generator)
    )
    return model.eval()


def bare(model: PairwiseModel, size: int) -> float:
    """Returns the CPU seconds of the product alone.

    All blocks use the same buffer of ``size`` rows.
    """
    users, items = model.user_vectors.weight.detach(), model.item_vectors.weight.detach()
    out = torch.empty(size, len(items))
    start = time.process_time()
    for part in users.split(size):
        torch.mm(part, items.T, out=out[: len(part)])
    return time.process_time() - start


def ours(bench: MeasuredVictim, targets: np.ndarray) -> float:
    """Returns the CPU time, in seconds, of measuring a clean cell and its metrics."""
    start = time.process_time()
    arrays = bench.clean(targets).arrays
    outcome = build_outcome(arrays, build_outcome(arrays))
    for name, metric in METRICS.items():
        if metric.needs != "targets" or outcome.target_ranks is not None:
            metric.per_user(outcome, Measure.parse(name).k)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("users", 6040), ("items", 40_000), ("targets", 0), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    enter_worker_environment()
    torch.set_num_threads(1)
    history, held = interactions(args.users, args.items)
    model, users = fitted(args.users, args.items), np.arange(args.users)
    targets = np.random.default_rng(1).choice(args.items, args.targets, replace=False)
    size = chunk_size(args.items)
    before = peak()
    ours(MeasuredVictim(model, history, held, users, 0), targets)
    memory = peak() - before  # measured first, because later steps stay below this peak or belong to the bare side
    names = ("bare matmul, same chunks", "bare matmul, 1024 rows", "ours", "ours, questions kept")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(args.rounds):
        bench = MeasuredVictim(model, history, held, users, 0)
        found = bare(model, size), bare(model, 1024), ours(bench, targets), ours(bench, targets)
        for name, value in zip(names, found, strict=True):
            seconds[name].append(value)
    least = {name: min(values) for name, values in seconds.items()}
    print(
        f"{args.users} users x {args.items} items, d = {FACTORS}, {len(history) / args.users:.0f} known items per user"
    )
    print(f"chunks of {size} users, {args.targets} targets, {len(METRICS)} metrics, minima of {args.rounds} rounds")
    print(f"{'':28}{'seconds':>9}{'x same chunks':>15}{'x 1024 rows':>13}")
    for name, value in least.items():
        same, wide = (value / least[f"bare matmul, {other}"] for other in ("same chunks", "1024 rows"))
        print(f"{name:28}{value:9.3f}{same:15.2f}{wide:13.2f}")
    print(f"peak memory above the model and the data: {memory:.0f} MiB")


REGISTRY = Registry.of(Host.discover())
METRICS = {name: REGISTRY.load("metric", Measure.parse(name).name)() for name in DEFAULT_METRICS}

if __name__ == "__main__":
    main()
