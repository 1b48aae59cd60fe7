"""Computes the key of a checkpoint from everything that can change its content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robench.api.digest import digest
from robench.spec import Victim
from robench.store.provenance import version_of


def identify_checkpoint(
    victim: Victim, *, data_sha: str, train_sha: str, code: Mapping[str, str], device: str, outside: str
) -> dict[str, Any]:
    """Returns everything that a checkpoint depends on, as plain JSON types.

    Args:
        victim: the victim. Labels are ignored.
        data_sha: the digest of the prepared data.
        train_sha: the digest of the training data, after poisoning and cleaning.
        code: the digests of the code that can change the fit, by name.
        device: the type of the device on which the model is fitted.
        outside: the digest of further inputs of the model, such as weight files, or an empty string.
    """
    return ({"outside": outside} if outside else {}) | {
        "victim": victim.content(),
        "data": data_sha,
        "train": train_sha,
        "code": dict(code),
        "torch": version_of("torch"),
        "device": device,
    }


def make_checkpoint_key(identity: Mapping[str, Any]) -> str:
    """Returns a checkpoint's key, 32 hex digits, given the checkpoint's identity."""
    return digest(dict(identity), 32)
