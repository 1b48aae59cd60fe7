"""Measures how the size of a chunk affects the cost of the cross-entropy.

    python tools/perf/softmax.py [--items 50000] [--states 960] [--rows 10 40 80 160 320] [--rounds 7]

The loss and all gradients are computed on one thread. Calls with different numbers of rows per chunk take turns. For
each size, the table shows the CPU time of the fastest round, and the memory of a chunk. The row ``chosen`` is the size
that robench uses for this catalogue.
"""

import argparse
import time

import torch

from robench.api.models import softmax

DIM = 64


def seconds(rows, parts, targets):
    """Returns the CPU seconds to compute one loss and its gradients.

    The loss is computed in chunks of ``rows`` rows.
    """
    original, softmax.chunk_rows = softmax.chunk_rows, lambda n_items: rows
    start = time.process_time()
    try:
        loss = softmax.cross_entropy(*parts, targets).mean()
        torch.autograd.grad(loss, parts)
    finally:
        softmax.chunk_rows = original
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("items", 50_000), ("states", 960), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rows", type=int, nargs="+", default=[10, 40, 80, 160, 320])
    given = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shapes = (given.states, DIM), (given.items, DIM), (given.items,)
    parts = [torch.randn(*shape, generator=generator, requires_grad=True) for shape in shapes]
    targets = torch.randint(given.items, (given.states,), generator=generator)
    chosen = softmax.chunk_rows(given.items)
    sizes = {f"{rows} rows": rows for rows in given.rows} | {"chosen": chosen}
    measured = {name: [] for name in sizes}
    for _ in range(given.rounds):
        for name, rows in sizes.items():
            measured[name].append(seconds(rows, parts, targets))
    best = min(map(min, measured.values()))
    print(f"{given.states} states, {given.items} items, d = {DIM}; chosen: {chosen} rows")
    for name, values in measured.items():
        size = 4 * sizes[name] * given.items / 2**20
        print(f"{name:10}{min(values):8.3f} s {min(values) / best:6.2f}x   chunk {size:6.1f} MiB")


if __name__ == "__main__":
    main()
