"""What `import langevax` costs over `import jax`, in fresh interpreters that take turns."""

import statistics
import subprocess
import sys

RUNS = 9


def seconds(code: str) -> float:
    """Seconds that a fresh interpreter needs for `code`."""
    timed = f"import time; began = time.perf_counter(); {code}; print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", timed], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the median of the differences."""
    seconds("import langevax")
    extra = [seconds("import langevax") - seconds("import jax") for _ in range(RUNS)]
    print(f"import langevax over import jax: {statistics.median(extra):.3f} s of at most 0.3 s")


if __name__ == "__main__":
    main()
