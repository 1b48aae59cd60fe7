"""Prints certified precision, recall and F1 of models that combine votes.

    python tools/perf/pore.py FOLDER [--base item-knn] [--models 10000] [--sample 20 50 200] [--each 1] [--minutes 9]

FOLDER holds ml-100k.inter of MovieLens 100K in RecBole's format. Users and items need at least 5 interactions. The
items of each user are split at random: 70% for training, 10% for validation and 20% for the test. The lists have 10
items. The script prints a line per size of the samples and value:

- the base models that were fitted within the time limit, and the CPU seconds
- the value of the lists, and the certified value with at most 0, 1, ..., 5 fake users

A base model is discarded after it has voted, so thousands of base models need no more memory than one. PORE (Jia et
al., USENIX Security 2023) has 100,000 base models on samples of 200 users. In PORE, users get votes only from base
models that were fitted on them. Here, all base models vote for all users.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from robench.api import Rng
from robench.api.models.votes import Votes
from robench.engine.measure import MeasuredVictim
from robench.engine.rank.votes import collect_votes
from robench.files.cache import Cache, default_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.data import prepare_data
from robench.spec import Part
from robench.store.certificate import FAKES, measure_certificate
from robench_plugins.models.bagging import BASES, Bagging, count_trained, count_votes, draw_users
from robench_plugins.models.sparse_matrix import interaction_matrix, without_repeats


class Counted(Bagging):
    """A bagging model whose votes were counted before."""

    def give(self, votes, popularity):
        """Sets the votes of all users, and the training counts for equal votes."""
        self.given, self.rest = votes, (popularity / (1 + popularity.max())).astype(np.float32)

    def votes(self, users, history):
        return replace(self.given, counts=self.given.counts[users])

    def scores(self, users, history):
        return self.given.counts[users].astype(np.float32) + self.rest


def world(folder):
    """Returns the prepared data."""
    registry = Registry.of(Host.discover())
    config = {"path": str(Path(folder).resolve()), "min_user_interactions": 5, "min_item_interactions": 5}
    resolved = registry.load("dataset", "recbole").Config.model_validate(config).resolved()
    split = Part("random-ratio", {"seed": 0, "ratios": [0.7, 0.1, 0.2]}, "random-ratio")
    return prepare_data(Part("recbole", resolved, "ml-100k"), split, registry, Path(), Cache(default_folder()))[1]


def count(data, rows, base, sample, models, each, deadline):
    """Returns the votes of base models that are fitted on samples of the users.

    Args:
        data: the data from which the samples are drawn, with each user-item pair once.
        rows: the histories of all users.
        base: the name of the base model.
        sample: the number of users in each sample.
        models: the largest number of base models.
        each: the number of items that a base model votes for.
        deadline: the value of ``time.process_time()`` after which no further base model is fitted.
    """
    fitted = 0

    def bases():
        nonlocal fitted
        while fitted < models and time.process_time() < deadline:
            rng, model = Rng(0).child("samples", fitted), BASES[base].make()
            model.fit(replace(data, train=draw_users(data.train, sample, rng)), rng.child("fit"))
            fitted += 1
            yield model

    counts = count_votes(bases(), rows, each)
    counts[np.diff(rows.indptr) == 0] = 0
    return Votes(counts, fitted, sample, count_trained(data.train), each)


def certify(data, votes):
    """Returns the numbers of the certificate of these votes."""
    model = Counted.make()
    model.give(votes, data.train.counts())
    users = np.flatnonzero(data.test.lengths() > 0)
    victim = MeasuredVictim(model, data.history(), data.test, users, 0)
    arrays = victim.clean(None).arrays
    found, voting = collect_votes(model, victim.chunks(), victim.history, arrays["top"], votes.users)
    return measure_certificate(arrays | found, voting)


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--base", default="item-knn", choices=BASES)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--sample", nargs="*", type=int, default=[20, 50, 200])
    parser.add_argument("--each", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=9, help="CPU minutes of all base models together")
    options = parser.parse_args()
    data = world(options.folder)
    fitting = data.train_data()
    fitting = replace(fitting, train=without_repeats(fitting.train))
    rows = interaction_matrix(without_repeats(data.history()))
    print("sample  models  seconds  value         plain  " + "  ".join(f"{f'e={fakes}':>5}" for fakes in FAKES))
    for sample in options.sample:
        start = time.process_time()
        deadline = start + 60 * options.minutes / len(options.sample)
        votes = count(fitting, rows, options.base, sample, options.models, options.each, deadline)
        seconds, numbers = time.process_time() - start, certify(data, votes)
        for name in ("precision", "recall", "f1"):
            values = [numbers[name], *(numbers[f"{name}_{fakes}"] for fakes in FAKES)]
            shown = "  ".join(f"{value:5.3f}" for value in values)
            print(f"{sample:6}  {votes.models:6}  {seconds:7.0f}  {name + '@10':12}  {shown}", flush=True)


if __name__ == "__main__":
    main()
