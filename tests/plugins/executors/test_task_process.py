"""Tests parts of isolation that need no fork server."""

import socket
import subprocess
import sys
import threading
import time

import pytest

from robench.api import Task
from robench_plugins.executors.isolation import heartbeat, process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no fork server")


def test_a_beat_needs_the_main_thread():
    beats = []
    heart = heartbeat.Heartbeat(beats.append, 0.01)
    heart.start()
    limit = time.monotonic() + 5
    while len(beats) < 3 and time.monotonic() < limit:
        sum(range(1000))
    assert set(beats) == {heartbeat.BEAT}
    before = len(beats)
    threading.Event().wait(0.2)
    assert len(beats) <= before + 1


def test_a_task_that_has_not_begun_is_not_waited_for():
    ours, theirs = socket.socketpair(), socket.socketpair()
    waiting = process.TaskProcess(Task("t", {}), ours[0], theirs[0])
    start = time.monotonic()
    waiting.close()
    assert time.monotonic() - start < 1
    assert theirs[1].recv(1) == b""
    ours[1].close()
    theirs[1].close()


def test_an_interrupt_of_the_terminal_reaches_no_new_process():
    code = (
        "import os, signal, subprocess, sys\n"
        "from robench_plugins.executors.isolation.launch import interrupts_blocked\n"
        "from robench_plugins.executors.isolation.server import ignore_interrupts\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    with interrupts_blocked():\n"
        "        if os.fork() == 0:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            ignore_interrupts()\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            os._exit(7)\n"
        "        code = os.waitstatus_to_exitcode(os.wait()[1])\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('child', code)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["child", "7", "interrupted"], "")
