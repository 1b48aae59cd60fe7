"""Compares the meanings of old and new titles with a sentence encoder."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache

import torch

from robench.api.usage import ignore_usage
from robench.engine.attack.measurement import TitleChange
from robench.pretrained.encoder import Encoder
from robench.pretrained.weights import packaged_folder


@cache
def _encoder() -> Encoder | None:
    """Returns the encoder all-MiniLM-L6-v2, or None if a package is missing.

    The encoder needs the package transformers and the package with the weights.
    """
    folder = packaged_folder()
    if folder is None or importlib.util.find_spec("transformers") is None:
        return None
    return Encoder.load()


def title_similarity(rows: Sequence[TitleChange]) -> dict[str, float]:
    """Returns the mean and the smallest cosine similarity of old and new titles.

    The result is empty if there is no encoder, or if no title was rewritten.

    Args:
        rows: the rewritten titles. The function also sets ``similarity`` in each row.
    """
    encoder = _encoder()
    if encoder is None or not rows:
        return {}
    with ignore_usage():
        old, new = encoder.encode([row["before"] for row in rows]), encoder.encode([row["after"] for row in rows])
    cosines = torch.nn.functional.cosine_similarity(old, new).double().tolist()
    for row, cosine in zip(rows, cosines, strict=True):
        row["similarity"] = round(cosine, 4)
    return {"mean": sum(cosines) / len(cosines), "min": min(cosines)}
