"""Runs that end badly, each in a process of its own: `python -m tests.run.killed DIRECTORY`.

JAX does not start before the forks, so the processes share one import, and compiled programs. Python
tells an audit hook of every rename, removal, new folder and opened file: a run is killed by `kill -9`
just before chosen ones. What the runs left behind, and one JSON line on the standard output, are
looked at by `test_checkpoint.py`.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import jax
import orbax.checkpoint  # noqa: F401
import xarray  # noqa: F401

from langevax import Run
from tests.run.setting import DRIVER, langevax, simulate

MOMENTS = [0.05, 0.3, 0.5, 0.7, 0.85]  # of the changes an undisturbed run makes
DELAYS = [0.1]  # seconds after the first save began
STEPS, CHUNK = 40, 10
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree"}


def saved_run(directory, num_steps=STEPS, resume=False, **options):
    """Saved after every chunk of 10 steps."""
    DRIVER.FIRST_CHUNK, DRIVER.next_length = CHUNK, lambda *_: CHUNK
    saving = Run(checkpoint=directory, resume=resume, checkpoint_seconds=0.0)
    return simulate(num_steps, run=saving, **options)


def watch_changes(directory, fatal=None):
    """The list of changes below `directory`, growing; `kill -9` just before number `fatal`."""
    changes = []

    def hook(event, arguments):
        if event in CHANGES and str(directory) in str(arguments):
            if len(changes) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            changes.append(event)

    sys.addaudithook(hook)
    return changes


def count_then_fill(directory):
    """The undisturbed run; then runs on a disk that takes no file of more than 500 bytes."""
    changes = watch_changes(directory / "whole")
    saved_run(directory / "whole")
    saved_run(directory / "unrecorded", record_every=None)
    total, errors = len(changes), {}
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    for name, options in {"whole": {}, "unrecorded": {"record_every": None}}.items():
        try:
            saved_run(directory / name, 2 * STEPS, resume=True, **options)
        except langevax.CheckpointError as error:
            errors[name] = str(error)
    return {"changes": total, "full": errors}


def in_a_child(work):
    """Fork, do `work`, and give its process id and the file that holds what it returned."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    return child, read


def main(directory):
    jax.config.update("jax_compilation_cache_dir", str(directory / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    child, read = in_a_child(lambda: count_then_fill(directory))
    with os.fdopen(read) as answer:
        report = json.loads(answer.read())
    os.waitpid(child, 0)

    def killed_at(moment):
        watch_changes(directory / f"moment {moment}", int(moment * report["changes"]))
        saved_run(directory / f"moment {moment}")

    def killed_after(delay):
        first = threading.Event()
        save = DRIVER.Checkpoint.save
        DRIVER.Checkpoint.save = lambda *arguments: (first.set(), save(*arguments))[1]
        kill = lambda: (
            first.wait(),
            time.sleep(delay),
            os.kill(os.getpid(), signal.SIGKILL),
        )
        threading.Thread(target=kill, daemon=True).start()
        saved_run(directory / f"delay {delay}")

    jobs = [lambda m=m: killed_at(m) for m in MOMENTS] + [
        lambda d=d: killed_after(d) for d in DELAYS
    ]
    children = []
    for job in jobs:
        children.append(in_a_child(job)[0])
        if len(children) >= 2:
            report.setdefault("signals", []).append(
                os.WTERMSIG(os.waitpid(children.pop(0), 0)[1])
            )
    report["signals"] += [os.WTERMSIG(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
