"""Compiled programs are stored in the folder that is passed, and loaded again."""

import os
import subprocess
import sys

import jax
import pytest

import langevax

SCRIPT = """
import sys, jax, jax.numpy as jnp
from langevax.run import keep_compiled_programs

events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event.rsplit("/", 1)[-1]))
program, numbers = jax.jit(lambda x: jnp.sin(x) + 1), jnp.arange(3.0)
keep_compiled_programs(sys.argv[1])
for _ in range(2):
    program(numbers)
    jax.clear_caches()
print(events.count("cache_misses"), events.count("cache_hits"))
"""


@pytest.mark.slow
def test_programs_compiled_by_one_process_are_loaded_by_another(tmp_path):
    elsewhere = "JAX_COMPILATION_CACHE_DIR"  # where the suite keeps its own
    env = {name: value for name, value in os.environ.items() if name != elsewhere}
    env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "kept")]
    counts = [
        subprocess.run(
            command, env=env, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert [line.split() for line in counts] == [["1", "1"], ["0", "2"]]


@pytest.fixture
def updates(tmp_path, monkeypatch):
    """Return what is set of JAX, in an empty folder and environment."""
    for name in (
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
        "XDG_CACHE_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    updates = {}
    monkeypatch.setattr(
        type(jax.config),
        "update",
        lambda self, name, value: updates.update({name: value}),
    )
    return updates


@pytest.mark.parametrize(
    ("directory", "env", "folder"),
    [
        ("here", {"XDG_CACHE_HOME": "caches"}, "here"),
        ("here", {"JAX_COMPILATION_CACHE_DIR": "set"}, "here"),
        (None, {"JAX_COMPILATION_CACHE_DIR": "set"}, None),
        (None, {"XDG_CACHE_HOME": "caches"}, "caches/langevax/jax"),
        (None, {}, "home/.cache/langevax/jax"),
    ],
)
def test_where(directory, env, folder, updates, tmp_path, monkeypatch):
    """None leaves the folder to JAX, which reads the variable itself."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    langevax.run.keep_compiled_programs(directory)
    assert updates.pop("jax_persistent_cache_min_compile_time_secs") == 0
    assert updates.get("jax_compilation_cache_dir") == (
        None if folder is None else str(tmp_path / folder)
    )


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_folder_that_cannot_be_made_is_not_used(
    by_variable, updates, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    if by_variable:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "file/cache")
    langevax.run.keep_compiled_programs(None if by_variable else "file/cache")
    assert updates == {"jax_compilation_cache_dir": None}
