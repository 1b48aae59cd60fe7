"""Measures an epoch of LightGCN with and without its limit on steps.

    python tools/perf/lightgcn.py [--users 6040] [--items 3700] [--interactions 260] [--rounds 3] [--epochs 6]
                                  [--seeds 2]

The data is synthetic, with as many users as MovieLens 1M and about as many items. On one thread, steps with and without
the limit take turns. The seconds of an epoch are the number of steps times the CPU time of the fastest step. With
``--epochs 6``, both models are also fitted for six epochs with each seed, and the output shows the best validation
NDCG@10 of each fit. The exit code is 1 if an epoch with the limit takes more than half as long as one without.
"""

import argparse
import itertools
import sys
import time

import torch

from robench.api import Defense, Rng
from robench.engine.data.prepare import prepare
from robench.engine.fit.loop import fit
from robench.spec import Part
from robench_plugins.datasets.synthetic import Synthetic
from robench_plugins.models.lightgcn import LightGcn

STEPS, MOST = 5, 0.5
SETTINGS = {"without a limit": {"max_steps": 1 << 30}, "by default": {}}


def step_seconds(model, data, optimiser):
    """Returns the CPU seconds of the fastest of a few training steps."""
    seconds = []
    for batch in itertools.islice(model.batches(data, Rng(0)), STEPS):
        start = time.process_time()
        optimiser.zero_grad(set_to_none=True)
        model.loss_from(batch, model.embed(batch)).value.mean().backward()
        optimiser.step()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = ("users", 6040), ("items", 3700), ("interactions", 260), ("rounds", 3), ("epochs", 0), ("seeds", 2)
    for name, value in sizes:
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(1)
    source = Synthetic.make(users=given.users, items=given.items, interactions_per_user=given.interactions, factors=30)
    split = Part("leave-last-out", {"seed": 0}, "leave-last-out")
    data = prepare(source.load(), source.config, split).train_data()
    print(f"{len(data.train)} training interactions of {data.n_users} users and {data.n_items} items")
    models = {name: LightGcn.make(**settings) for name, settings in SETTINGS.items()}
    seconds = {name: [] for name in models}
    for model in models.values():
        model.initialise(data, Rng(0))
    for _, (name, model) in itertools.product(range(given.rounds), models.items()):
        seconds[name].append(step_seconds(model, data, torch.optim.Adam(model.parameters(), fused=True)))
    epochs = {}
    for name, model in models.items():
        rows = model.batch_rows(data)
        steps = -(-len(data.train) // rows)
        epochs[name] = steps * min(seconds[name])
        print(f"{name:16} {steps} steps of {rows} triples: {epochs[name]:6.2f} s per epoch", flush=True)
    ratio = epochs["by default"] / epochs["without a limit"]
    print(f"{ratio:.2f}x of the time (goal: at most {MOST:.1f}x)", flush=True)
    for seed, (name, settings) in itertools.product(range(given.seeds if given.epochs else 0), SETTINGS.items()):
        model = LightGcn.make(epochs=given.epochs, patience=given.epochs, **settings)
        start = time.process_time()
        ndcg = fit(model, data, Defense(), Rng(seed), torch.device("cpu")).validation_ndcg
        print(f"seed {seed}, {name:16} NDCG@10 {ndcg:.4f} in {time.process_time() - start:.1f} s", flush=True)
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
