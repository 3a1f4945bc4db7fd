"""Compiled programs are kept between processes: JAX's persistent cache, which `import langevax` leaves alone."""

import os
from pathlib import Path

SHORTEST = 0.2  # seconds of compilation worth keeping


def keep_compiled_programs(directory: str | os.PathLike | None = None) -> None:
    """Keep what is compiled from here on, so that another process loads it instead of compiling it again.

        langevax.run.keep_compiled_programs()  # at the top of a script; a second start saves most of the compilation
        result = langevax.simulate(...)
        result.seconds_to_first_step  # how long it still took

    Args:
        directory: where; any number of processes may share it. None takes JAX_COMPILATION_CACHE_DIR if that is set, and
            else the user's cache folder, as the command line does.

    A program belongs to shapes, dtypes and code, to the versions of JAX and to the kind of device: what has changed is
    compiled anew. The folder only grows; it may be deleted at any time.
    """
    import jax

    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST)
    if directory is not None:
        jax.config.update("jax_compilation_cache_dir", str(Path(directory).expanduser().absolute()))
    elif "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "langevax" / "jax"))
