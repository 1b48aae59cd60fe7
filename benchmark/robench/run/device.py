"""Chooses the device and the torch settings for fitting and measuring victims."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from robench.api.errors import UserError

# With this workspace, cuBLAS sums in a fixed order. cuBLAS reads the setting when a process starts to use a GPU.
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"


def pick_device(name: str, where: str = "") -> torch.device:
    """Returns the torch device for the device setting of a suite.

    ``auto`` means a GPU if there is one. The function asks the driver for the number of GPUs, but creates no context on
    a GPU.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        where: the place of the setting, for error messages.

    Raises:
        UserError: if the suite names a GPU that torch cannot use.
    """
    count = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name in ("auto", "cpu"):
        return torch.device("cuda" if count else "cpu")
    device = torch.device(name)
    if (device.index or 0) < count:
        return device
    if not count:
        why = "" if torch.version.cuda or torch.version.hip else " (this torch is built without CUDA)"
        problem = f"there is no GPU that torch can use{why}"
        raise UserError(problem, where=where, path=f"device: {name}", hint="write device: auto, or device: cpu")
    seen = "1 GPU, cuda:0" if count == 1 else f"{count} GPUs, cuda:0 to cuda:{count - 1}"
    raise UserError(f"there is no such GPU: torch can use {seen}", where=where, path=f"device: {name}")


@contextmanager
def torch_settings(threads: int, device: str = "cpu") -> Iterator[None]:
    """Sets the threads and the kernels of torch for a block of code.

    The earlier settings are restored after the block. The fast path of attention is switched off, so evaluation uses
    the same kernels as training. The results of the two paths differ by about 1e-6.

    Args:
        threads: the number of torch threads.
        device: the device, in the form that ``pick_device`` accepts. On a GPU, ``gpu_settings`` apply too.
    """
    before = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    torch.set_num_threads(threads)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            if device != "cpu" and torch.cuda.is_available():
                stack.enter_context(gpu_settings())
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mha.set_fastpath_enabled(before[1])


@contextmanager
def gpu_settings() -> Iterator[None]:
    """Makes a GPU compute in float32, in a fixed order and with fixed kernels.

    - cuDNN is off, because its recurrent kernels have no gradient in evaluation mode. If only evaluations without
      gradients used cuDNN, scores and gradients would belong to different functions.
    - Attention uses the plain formula. The choice among the other kernels would depend on whether a gradient is needed.
    - TF32 and sums in half precision are off.
    - Algorithms are deterministic if torch has a deterministic version. Otherwise, torch warns and continues, because
      numbers that may differ in the last bits are better than none.

    The settings apply only to a GPU, because some of them would also change results on the CPU.
    """
    matmul = torch.backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_float32_matmul_precision()
    halves = matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction
    workspace = os.environ.get(WORKSPACE[0])
    os.environ.setdefault(*WORKSPACE)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")
    matmul.allow_fp16_reduced_precision_reduction = matmul.allow_bf16_reduced_precision_reduction = False
    cudnn = torch.backends.cudnn.flags(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with cudnn, sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        if workspace is None:
            del os.environ[WORKSPACE[0]]
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.set_float32_matmul_precision(precision)
        matmul.allow_fp16_reduced_precision_reduction, matmul.allow_bf16_reduced_precision_reduction = halves
