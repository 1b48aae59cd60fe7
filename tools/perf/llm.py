"""Compares the scores of llm with the retriever that it reranks, over all users.

    python tools/perf/llm.py [--users 671] [--set lora_rank=8 --set learning_rate=0.001] [--only fusion]

The data is MovieLens latest-small (at least 5 interactions per user and 20 per item). The rows are ``ease``, the
retriever alone, ``likelihood``, which is ``score: mean-likelihood`` with 20 candidates, and ``fusion``, which is
``score: fusion`` with 50 candidates and its weight chosen by validation. ``--set`` changes a setting of both. With
``--users``, a seeded sample of the users is measured.

A user whose test item is no candidate has an NDCG@10 of 0 under every score. Therefore, the decoder reads only the
prompts of the other users, and the value is exact. The model itself never sees a test item.

The table shows the mean NDCG@10 and the mean difference from ``ease``, with 95% intervals of a bootstrap over users. It
also shows the weight of PMI, the number of users whose candidates the decoder scores, and the CPU seconds for each of
them on one thread.
"""

import argparse
import json
import time

import numpy as np
import torch
from scipy.stats import bootstrap

from robench.api import Defense, Rng, TrainData
from robench.api.data import joined
from robench.engine.data.prepare import prepare
from robench.engine.data.targets import evaluated_users
from robench.engine.fit.loop import fit
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import Part

SPLIT = Part("leave-last-out", {"seed": 0}, "leave-last-out")
ROWS = {"likelihood": {"score": "mean-likelihood", "candidates": 20}, "fusion": {"score": "fusion", "candidates": 50}}
K = 10


def gains(scores, users, history, held):
    """Returns the NDCG@10 of each user with one held-out item."""
    values = []
    for row, user in zip(scores.astype(np.float64), users.tolist(), strict=True):
        (item,) = held.row(user)
        row[history.row(user)] = -np.inf
        rank = int((row >= row[item]).sum())  # ties count against the model
        values.append(1 / np.log2(1 + rank) if rank <= K else 0.0)
    return np.array(values)


def measure(model, users, history, held):
    """Returns the NDCG@10 of each user, and how many users the model scores."""
    candidates = model.candidates(users, history)
    reached = users[(candidates == held.items[held.indptr[users]][:, None]).any(1)]
    values = np.zeros(len(users))
    for one in reached.reshape(-1, 1):
        values[np.searchsorted(users, one[0])] = gains(model.scores(one, history), one, history, held)[0]
    return values, len(reached)


def interval(values):
    """Returns the mean with its 95% interval, as text."""
    if not values.any():
        return f"{values.mean():.4f}"
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(0), method="percentile").confidence_interval
    return f"{values.mean():.4f} [{found.low:.4f}, {found.high:.4f}]"


def setting(text):
    """Splits ``name=value``, whose value is JSON or plain text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int)
    parser.add_argument("--set", type=setting, action="append", default=[])
    parser.add_argument("--only", choices=ROWS, nargs="+", default=list(ROWS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.of(Host.discover())
    source = registry.load("dataset", "movielens-small").make(min_user_interactions=5, min_item_interactions=20)
    data = prepare(source.load(), source.config, SPLIT)
    seen = TrainData(data.train, data.validation, data.catalogue)
    history, users = joined(data.train, data.validation), evaluated_users(data, None)
    if given.users and given.users < len(users):
        users = np.sort(np.random.default_rng(0).choice(users, given.users, replace=False))
    retriever = registry.load("model", "ease").make(by_validation=False)
    fit(retriever, seen, Defense(), Rng(0).child("fit"), device=torch.device("cpu"))
    alone = gains(retriever.scores(users, history), users, history, data.test)
    print(f"{len(users)} users, settings {dict(given.set)}")
    print("| score | NDCG@10 | difference from ease | w | validation | scored | seconds each | seconds of the fit |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| ease | {interval(alone)} | – | – | – | 0 | – | – |", flush=True)
    for name in given.only:
        model = registry.load("model", "llm").make(**{**ROWS[name], **dict(given.set)})
        start = time.process_time()
        report = fit(model, seen, Defense(), Rng(0).child("fit"), device=torch.device("cpu"))
        fitted = time.process_time()
        values, scored = measure(model, users, history, data.test)
        each = (time.process_time() - fitted) / max(1, scored)
        weight = report.achieved.get("chosen_fusion_weight", "–")
        parts = [name, interval(values), interval(values - alone), weight, f"{report.validation_ndcg:.4f}", scored]
        print(f"| {' | '.join(map(str, parts))} | {each:.2f} | {fitted - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
