"""How alike two titles are in meaning, by a sentence encoder of the host's own."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from robench.api.usage import ignore_usage
from robench.pretrained.encoder import Encoder
from robench.pretrained.weights import packaged_folder


@cache
def _encoder() -> Encoder | None:
    """all-MiniLM-L6-v2 out of its package; None where it or transformers is not installed."""
    folder = packaged_folder()
    if folder is None or importlib.util.find_spec("transformers") is None:
        return None
    return Encoder(folder)


def resemblance(titles: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean and least cosine between the titles before and after, which is noted in each row; nothing without encoder.

    Args:
        titles: rows with ``before`` and ``after``; ``similarity`` is added.
    """
    encoder = _encoder()
    if encoder is None or not titles:
        return {}
    with ignore_usage():
        old, new = (encoder.encode([row[name] for row in titles]) for name in ("before", "after"))
    found = torch.nn.functional.cosine_similarity(old, new).double().tolist()
    for row, value in zip(titles, found, strict=True):
        row["similarity"] = round(value, 4)
    return {"mean": sum(found) / len(found), "min": min(found)}
