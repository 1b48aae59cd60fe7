"""The device and the torch settings with which victims are fitted and measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from robench.api.errors import UserError


def pick_device(name: str) -> torch.device:
    """Returns the device of a suite. ``auto`` means the GPU if there is one.

    Raises:
        UserError: if the suite names a GPU and there is none.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("there is no GPU that torch can use", where=f"device: {name}", hint="write device: auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


@contextmanager
def torch_settings(threads: int) -> Iterator[None]:
    """Sets the number of threads and disables the fast path of attention within the block, then restores both.

    Without the fast path, evaluation uses the same kernels as training. The results of the two paths differ by about
    1e-6.
    """
    before = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    torch.set_num_threads(threads)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mha.set_fastpath_enabled(before[1])
