"""Measures the seconds and the peak memory of loading and training at scale.

    python tools/perf/scale.py [--users 1000000] [--items 100000] [--interactions 20000000] [--batch 262144]
                               [--factors 64]

A synthetic data set is loaded and prepared (checks, numbering, leave-last-out). A model is trained for one epoch by the
shared loop, with validation. Each line shows a step, its CPU seconds, and the largest resident size so far.
"""

import argparse
import resource
import time

import torch

from robench.api import Defense, Rng
from robench.engine.data.prepare import prepare
from robench.engine.fit.loop import fit
from robench.spec import Part
from robench_plugins.datasets.synthetic import Synthetic
from robench_plugins.models.mf import MatrixFactorization


def step(name, work, *given):
    """Runs one step, and prints its CPU seconds and the peak memory so far."""
    start = time.process_time()
    found = work(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:10} {time.process_time() - start:8.1f} s   peak {peak:6.2f} GiB", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = (
        ("users", 1_000_000),
        ("items", 100_000),
        ("interactions", 20_000_000),
        ("batch", 1 << 18),
        ("factors", 64),
    )
    for name, value in sizes:
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(1)
    step("start", lambda: None)
    # Two events are added to each user's geometric number, and one in thirty is a repeated pair.
    events = 1.032 * given.interactions / given.users - 2
    source = Synthetic.make(users=given.users, items=given.items, interactions_per_user=max(1.0, events))
    split = Part("leave-last-out", {"seed": 0}, "leave-last-out")
    raw = step("load", source.load)
    data = step("prepare", prepare, raw, source.config, split)
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    print(f"{len(raw.users)} events; {len(data.user_ids)} users, {len(data.catalogue.ids)} items, {sum(sizes)} kept")
    del raw
    model = MatrixFactorization.make(epochs=1, batch_size=given.batch, factors=given.factors)
    rows = data.train_data()
    step("epoch", fit, model, rows, Defense(), Rng(0), torch.device("cpu"))


if __name__ == "__main__":
    main()
