"""Defines misdeeds that affect the process of a fit, such as exits and forks."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

from misdeeds import misdeed

# Ends


@misdeed(fails=True)
def raises() -> None:
    raise RuntimeError("no luck")


@misdeed(fails=True)
def exits_by_sys() -> None:
    sys.exit(0)


@misdeed(fails=True)
def exits_with_a_text() -> None:
    raise SystemExit("good-bye")


@misdeed(fails=True)
def interrupts() -> None:
    raise KeyboardInterrupt


@misdeed(fails=True)
def generator_exit() -> None:
    raise GeneratorExit


@misdeed(fails=True)
def exits_at_once() -> None:
    os._exit(0)


@misdeed(fails=True)
def exits_at_once_with_3() -> None:
    os._exit(3)


@misdeed(fails=True)
def segfault() -> None:
    ctypes.string_at(0)


@misdeed(fails=True)
def abort() -> None:
    os.abort()


@misdeed(fails=True)
def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@misdeed(fails=True)
def terminates_itself() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@misdeed(fails=True)
def kills_its_group() -> None:
    os.killpg(0, signal.SIGKILL)


@misdeed(fails=True)
def kills_its_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@misdeed(fails=True)
def recursion() -> None:
    recursion()


# Hangs and memory


@misdeed(seconds=3)
def stops_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@misdeed(seconds=3)
def sleeps() -> None:
    time.sleep(3600)


@misdeed(seconds=3)
def hangs_with_the_lock() -> None:
    ctypes.PyDLL(None).sleep(3600)


@misdeed(seconds=3)
def loops() -> None:
    while True:
        pass


@misdeed(seconds=3)
def ignores_signals_and_sleeps() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(3600)


def _fill() -> None:
    kept = []
    while len(kept) < 60:
        kept.append(b"x" * (50 << 20))
        time.sleep(0.05)
    time.sleep(60)


@misdeed(memory="900 MiB", seconds=60)
def fills_memory() -> None:
    _fill()


@misdeed(memory="900 MiB", seconds=60)
def fills_memory_of_a_child() -> None:
    if os.fork() == 0:
        os.setsid()
        _fill()
    time.sleep(60)


# Threads and processes


@misdeed()
def leaves_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(3600,)).start()


@misdeed()
def leaves_a_daemon_thread() -> None:
    threading.Thread(target=_spin, daemon=True).start()


def _spin() -> None:
    while True:
        sum(range(1000))
        time.sleep(0.001)


@misdeed()
def leaves_a_fork() -> None:
    if os.fork() == 0:
        time.sleep(3600)


@misdeed()
def leaves_a_daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        os._exit(0)
    os.wait()


@misdeed()
def leaves_a_command() -> None:
    subprocess.Popen(["sleep", "3600"])


@misdeed()
def leaves_a_pool() -> None:
    multiprocessing.get_context("fork").Pool(2)


@misdeed()
def forks_and_both_go_on() -> None:
    os.fork()


@misdeed()
def hangs_at_exit() -> None:
    atexit.register(time.sleep, 3600)
