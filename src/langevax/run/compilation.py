"""Compiled programs are kept between commands: JAX's persistent cache, which `import langevax` leaves alone."""

import os
from pathlib import Path

SHORTEST = 0.2  # seconds of compilation worth keeping


def keep_compiled_programs() -> None:
    """Switch the cache on, in the user's cache folder, unless JAX_COMPILATION_CACHE_DIR says where."""
    import jax

    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "langevax" / "jax"))
