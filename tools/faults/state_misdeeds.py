"""Defines misdeeds that affect the shared state or the messages of a process."""

from __future__ import annotations

import builtins
import gc
import json
import locale
import os
import random
import resource
import signal
import socket
import stat
import sys
import tempfile
import threading
import warnings
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from misdeeds import misdeed

from robench.api.rng import Rng
from robench.engine.rank import ranking
from robench_plugins.executors.isolation.frames import to_frame

# State of torch and numpy


@misdeed()
def default_dtype() -> None:
    torch.set_default_dtype(torch.float64)


@misdeed()
def grad_mode() -> None:
    torch.set_grad_enabled(False)


@misdeed()
def inference_mode() -> None:
    torch.inference_mode().__enter__()


@misdeed()
def default_device() -> None:
    torch.set_default_device("meta")


@misdeed()
def deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True


@misdeed()
def many_threads() -> None:
    torch.set_num_threads(7)


@misdeed()
def flushes_denormals() -> None:
    torch.set_flush_denormal(True)


@misdeed()
def matmul_precision() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.mkldnn.enabled = False


@misdeed()
def seeds() -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  # the misdeed
    random.seed(1)


@misdeed()
def patched_loss() -> None:
    torch.nn.functional.softplus = lambda x: x * 0 + 1
    torch.nn.functional.logsigmoid = lambda x: x * 0


@misdeed()
def patched_optimiser() -> None:
    torch.optim.Adam.step = lambda self, closure=None: None


@misdeed()
def patched_tensor() -> None:
    torch.Tensor.backward = lambda self, *a, **k: None


@misdeed()
def patched_numpy() -> None:
    np.argsort = lambda a, *rest, **more: np.zeros(len(a), int)
    np.concatenate = None


@misdeed()
def patched_robench() -> None:
    Rng.torch = lambda self: torch.Generator()
    ranking.__dict__.clear()


@misdeed()
def numpy_errors() -> None:
    np.seterr(all="raise")


# State of Python


@misdeed()
def patched_builtins() -> None:
    builtins.sorted = lambda values, **more: list(values)


@misdeed()
def patched_json() -> None:
    json.dumps = lambda *a, **k: "{}"


@misdeed()
def warnings_are_errors() -> None:
    warnings.resetwarnings()
    warnings.simplefilter("error")


@misdeed()
def no_garbage_collection() -> None:
    gc.disable()


@misdeed()
def low_recursion_limit() -> None:
    sys.setrecursionlimit(len(_frames()) + 30)


def _frames() -> list[Any]:
    frame, frames = sys._getframe(), []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


@misdeed()
def search_path() -> None:
    place = tempfile.mkdtemp()
    for name in ("numpy", "torch", "yaml"):
        with open(os.path.join(place, f"{name}.py"), "w") as file:
            file.write("raise RuntimeError('the wrong module')\n")
    sys.path[:] = [place]


@misdeed()
def forgets_modules() -> None:
    for name in [name for name in sys.modules if name.startswith(("robench.", "numpy."))]:
        del sys.modules[name]


@misdeed()
def import_hook() -> None:
    sys.meta_path[:] = []


@misdeed()
def traces() -> None:
    sys.setprofile(lambda *event: None)


@misdeed()
def no_output() -> None:
    sys.stdout = sys.stderr = None


# State of the process


@misdeed()
def folder() -> None:
    place = tempfile.mkdtemp()
    os.chdir(place)
    os.rmdir(place)


@misdeed()
def environment() -> None:
    os.environ.clear()
    os.environ.update(OMP_NUM_THREADS="9", ROBENCH_CACHE="/nowhere", PYTHONPATH="/nowhere")


@misdeed()
def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))


@misdeed()
def little_processor_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 60
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


@misdeed()
def no_large_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))


@misdeed()
def mask_of_files() -> None:
    os.umask(0o777)


@misdeed()
def language() -> None:
    os.environ["LC_ALL"] = "C"
    locale.setlocale(locale.LC_ALL, "C")


@misdeed()
def signal_handlers() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)


@misdeed()
def own_session() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()


@misdeed()
def slow_and_on_one_core() -> None:
    os.nice(19)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@misdeed()
def closed_standard_files() -> None:
    for number in (0, 1, 2):
        os.close(number)


@misdeed()
def closed_files() -> None:
    os.closerange(3, 256)


# Messages


class Unpicklable(Exception):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        super().__init__("with a lock")

    def __reduce__(self) -> Any:
        raise TypeError("never")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@misdeed(fails=True)
def surrogate_error() -> None:
    raise RuntimeError("lone \udc80 surrogate, ESC \x1b[31m and NUL \0")


@misdeed(fails=True)
def unpicklable_error() -> None:
    raise Unpicklable


@misdeed(fails=True)
def mute_error() -> None:
    raise Mute


@misdeed(fails=True)
def huge_error() -> None:
    raise RuntimeError("x" * (20 << 20))


def _sockets() -> list[int]:
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    found = []
    for number in numbers:
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(number)
        except OSError:
            continue
    return found


def _send(content: bytes) -> None:
    for number in _sockets():
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as pipe:
            pipe.sendall(content)


@misdeed(fails=True)
def garbage() -> None:
    _send(b"nonsense" * 1000)


@misdeed(fails=True)
def half_a_message() -> None:
    _send(to_frame({"kind": "progress"})[:12])
    os.kill(os.getpid(), signal.SIGKILL)


@misdeed(fails=True)
def code_in_a_message() -> None:
    _send(to_frame(_Run()))


class _Run:
    def __reduce__(self) -> Any:
        return os.kill, (os.getpid(), signal.SIGKILL)


@misdeed(fails=True)
def event_of_another_task() -> None:
    _send(to_frame({"kind": "lost", "task": "0" * 16, "error": "forged"}))


@misdeed(fails=True)
def cell_of_another_victim() -> None:
    _send(to_frame({"kind": "cell", "record": {"id": "0" * 16}, "arrays": None}))


@misdeed(fails=True)
def says_that_it_is_done() -> None:
    _send(to_frame("done"))
    os._exit(0)
