# SPDX-License-Identifier: Apache-2.0
"""A delegate as a program that dies by SIGKILL right before one of its messages to the kernel.

Called as `killed_at_send.py N MODULE`, N from 1 on; with 0 it lives. Python's own audit events tell of each message, so
nothing of the program is replaced.
"""

import itertools
import os
import runpy
import signal
import sys

AT, MODULE = int(sys.argv[1]), sys.argv[2]
_sends = itertools.count(1)


def watch(event: str, _: object) -> None:
    """Count, and die when it is time."""
    if event == "socket.sendto" and next(_sends) == AT:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # the signal is for the whole process; this thread must not get any further


sys.addaudithook(watch)
sys.argv = [MODULE]
runpy.run_module(MODULE, run_name="__main__")
