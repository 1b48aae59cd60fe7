"""Provides a fake GPU with tensors that live on the CPU.

The tensors report the device ``meta``, because torch creates no tensors on ``cuda`` on a machine without a GPU.

The fake GPU intercepts every operation of torch. An operation that mixes a tensor of the GPU with one of the CPU fails,
as on a real GPU. Operations that make the host wait for the GPU are counted. A test with the fake GPU thus shows where
tensors are, and how often the host waits. Such a test does not show that kernels exist, what kernels return, or how
fast kernels are.
"""

from __future__ import annotations

from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

GPU = torch.device("meta")
aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten._unique2.default,
    aten.repeat_interleave.Tensor,
}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
MOVES = {aten._to_copy.default, aten.copy_.default}


class GpuTensor(torch.Tensor):
    """A tensor on the fake GPU.

    ``inner`` is the CPU tensor that holds the values.
    """

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner):
        options = {"dtype": inner.dtype, "layout": inner.layout, "device": GPU, "requires_grad": False}
        outer = torch.Tensor._make_wrapper_subclass(cls, inner.shape, strides=inner.stride(), **options)
        outer.inner = inner
        return outer

    def new_tensor(self, data):
        return torch.tensor(data, dtype=self.dtype, device=GPU)

    def tolist(self):
        return self.cpu().tolist()

    def __repr__(self):
        return f"gpu({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} outside the GPU")


class Gpu(TorchDispatchMode):
    """A fake GPU that counts waits and moved numbers.

    ``waits`` counts how often the host waits for the GPU. ``moved`` counts the numbers that are copied back to the
    host.
    """

    def __init__(self):
        super().__init__()
        self.waits, self.moved = 0, 0

    def __enter__(self):
        made = torch.tensor
        self._tensor = patch.object(torch, "tensor", lambda data, device="cpu", **o: made(data, **o).to(device))
        self._tensor.start()  # on ``meta``, torch.tensor would discard the values
        return super().__enter__()

    def __exit__(self, *error):
        self._tensor.stop()
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = []
        tree_map(lambda x: tensors.append(x) if isinstance(x, torch.Tensor) else None, (args, kwargs))
        gpu = [x for x in tensors if isinstance(x, GpuTensor)]
        wanted = kwargs.get("device")
        there = torch.device(wanted).type == "meta" if wanted is not None else bool(gpu)
        if func in MOVES:
            there = isinstance(args[0], GpuTensor) if func is aten.copy_.default else there
            if gpu and (not there or not isinstance(args[0], GpuTensor)):
                source = args[1] if func is aten.copy_.default else args[0]
                if isinstance(source, GpuTensor) and not there:
                    self.waits, self.moved = self.waits + 1, self.moved + source.numel()
        elif gpu:
            self._check(func, args, tensors)
        if wanted is not None and there:
            kwargs["device"] = torch.device("cpu")
        outer = {id(x.inner): x for x in gpu}
        args, kwargs = tree_map(lambda x: x.inner if isinstance(x, GpuTensor) else x, (args, kwargs))
        answer = func(*args, **kwargs)
        if not there:
            return answer
        return tree_map(lambda x: outer.get(id(x), GpuTensor(x)) if type(x) is torch.Tensor else x, answer)

    def _check(self, func, args, tensors):
        bools = [x for x in (args[1] or []) if x is not None and x.dtype == torch.bool] if func in INDEXED else []
        self.waits += func in WAITS or len(bools) > 0
        on_host = [x for x in tensors if not isinstance(x, GpuTensor) and x.dim()]
        if on_host and func not in INDEXED:
            raise AssertionError(f"{func} mixes the GPU with a tensor {tuple(on_host[0].shape)} of the CPU")

    def put(self, module):
        """Moves a model to the fake GPU, and returns the model."""
        for part in module.modules():
            for name, value in list(part._parameters.items()):
                if value is not None:
                    part._parameters[name] = torch.nn.Parameter(GpuTensor(value.detach()), value.requires_grad)
            for name, value in list(part._buffers.items()):
                if value is not None:
                    part._buffers[name] = GpuTensor(value)
        return module
