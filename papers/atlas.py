"""Measure all claims, a process each, and write one page of them.

    python papers/atlas.py --size small --jobs 2                       out/atlas/atlas.md
    python papers/atlas.py --size small --jobs 2 --page docs/atlas.md  the page of the documentation

Claims whose saved result has the same size, seed, version and script are not measured again, so an interrupted run
continues where it ended; --force measures all. The words of each script are in `log.txt` in its folder.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from claims import (
    DATA,
    FIGURE,
    RESULT,
    add_options,
    request,
    table,
    table_of_numbers,
    tally,
)

HERE = Path(__file__).parent
NAMES = (
    "variance_reduction",
    "mixture",
    "classification",
    "concentration",
    "dimension_free",
    "functional_inputs",
    "entropy_sandwich",
    "propagation_of_chaos",
    "dual_methods",
    "sparse_parity",
    "federated",
    "teacher_student",
    "one_step",
)
"""Of the scripts, in the order of the page."""
POLL_SECONDS = 0.1

HEAD = """# The atlas: every claim beside its measurement

```sh
make atlas                # measures all claims at the small size, in minutes, and writes out/atlas/atlas.md
make atlas SIZE=full      # the same at the sizes that the papers' figures need
python papers/atlas.py --size small --jobs 2 --page docs/atlas.md    # writes this page of the documentation
```

Each claim of the papers is one script in `papers/`. It measures the claim, draws a figure, and compares each measured
number with the predicted one, within a stated tolerance. A verdict can fail, and this page says so where one does. The
folder of a claim has all numbers in `data.nc`, for xarray, with the size, the versions and the seed.
"""


def saved(
    folder: Path, expected: dict[str, str | int] | None = None
) -> dict[str, Any] | None:
    """Return the result in a folder; None where it is incomplete or answers another request than `expected`."""
    if not all((folder / name).is_file() for name in (RESULT, DATA, FIGURE)):
        return None
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return result if expected is None or result["request"] == expected else None


def measure_all(
    names: Sequence[str], size: str, seed: int, out: Path, jobs: int, force: bool
) -> list[str]:
    """Run the scripts, so many at a time, and return the names of those that crashed.

    A crash does not end the others. Whatever ends this function ends the processes.
    """
    requests = {name: request(HERE / f"{name}.py", size, seed) for name in names}
    waiting = [
        name for name in names if force or saved(out / name, requests[name]) is None
    ]
    for name in names:
        if name not in waiting:
            print(f"{name:<22} up to date", flush=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    crashed = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                running[name] = start(name, size, seed, out)
            time.sleep(POLL_SECONDS)
            for name in [
                name for name, process in running.items() if process.poll() is not None
            ]:
                code = running.pop(name).returncode
                if code == 0 and (result := saved(out / name, requests[name])):
                    print(
                        f"{name:<22} {'holds' if result['holds'] else 'FAILS'} {result['seconds']} s",
                        flush=True,
                    )
                    continue
                crashed.append(name)
                lines = (
                    (out / name / "log.txt")
                    .read_text(encoding="utf-8", errors="replace")
                    .strip()
                    .splitlines()
                )
                print(
                    f"{name:<22} crashed\n  exit code {code}: {lines[-1] if lines else 'no output'}",
                    flush=True,
                )
    finally:
        for process in running.values():
            process.terminate()
            process.wait()
    return crashed


def start(name: str, size: str, seed: int, out: Path) -> subprocess.Popen[bytes]:
    """Start one script; what it prints goes to `log.txt`. Its old result is removed first."""
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / RESULT).unlink(missing_ok=True)
    command = [
        sys.executable,
        str(HERE / f"{name}.py"),
        "--size",
        size,
        "--seed",
        str(seed),
        "--out",
        str(out),
    ]
    with (out / name / "log.txt").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


def write_page(out: Path, names: Sequence[str], page: Path) -> None:
    """Write the page in Markdown, and its figures to `images/atlas` beside it, from the saved files alone."""
    images = page.parent / "images" / "atlas"
    images.mkdir(parents=True, exist_ok=True)
    results = {name: saved(out / name) for name in names}
    overview = ["| claim | checks | paper |", "|---|---|---|"]
    body: list[str] = []
    for name, result in results.items():
        if result is None:
            overview.append(f"| {name} | not measured | |")
            continue
        shutil.copyfile(out / name / FIGURE, images / f"{name}.svg")
        heading, checks = name.replace("_", " ").capitalize(), result["checks"]
        title = result["title"].replace("|", r"\|")
        overview.append(
            f"| [{title}](#{name.replace('_', '-')}) | {tally(checks)} hold | {result['Source']} |"
        )
        size, seed, versions = (
            result["request"]["size"],
            result["request"]["seed"],
            result["versions"],
        )
        body += [f"\n## {heading}\n", f"**{result['title']}** {result['Claim']}\n"]
        body += ["```text", result["Formula"], "```\n", f"Source: {result['Source']}\n"]
        body += [
            f"![{heading}: {result['title']}](images/atlas/{name}.svg)\n",
            f"{result['Figure']}\n",
        ]
        body += [
            f"**{tally(checks)} checks hold.**\n",
            *table(checks),
            "",
            *table_of_numbers(result["numbers"]),
        ]
        command = f"`python papers/{name}.py --size {size} --seed {seed}`"
        libraries = f"langevax {versions['langevax']}, JAX {versions['jax']}, Python {versions['python']}"
        body += [f"Measured by {command}, with {libraries}."]
    requests = {
        (result["request"]["size"], result["request"]["seed"])
        for result in results.values()
        if result
    }
    measured = [
        f"Measured at the {size} size with seed {seed}.\n"
        for size, seed in sorted(requests)
    ]
    page.write_text(
        "\n".join([HEAD, *measured, *overview, *body]) + "\n", encoding="utf-8"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the page; exits with 1 where a script crashed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_options(parser)
    parser.add_argument(
        "--jobs", type=int, default=1, help="so many at a time (default 1)"
    )
    parser.add_argument(
        "--force", action="store_true", help="measure again what is saved"
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="the page (default atlas.md in the folder of --out)",
    )
    options = parser.parse_args(arguments)
    before = signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # as Ctrl-C: it ends the scripts that run
    try:
        crashed = measure_all(
            NAMES,
            options.size,
            options.seed,
            options.out,
            max(options.jobs, 1),
            options.force,
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    page = options.page or options.out / "atlas.md"
    write_page(options.out, NAMES, page)
    print(page)
    if crashed:
        sys.exit(
            f"crashed: {', '.join(crashed)}; run the same command to try them again."
        )


if __name__ == "__main__":
    main()
