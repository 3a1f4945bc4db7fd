"""Posteriors of posteriordb beside Stan's reference draws: who is right, who refuses, who is wrong without a word.

`python -m benchmarks posteriordb --folder DIR` needs a copy of github.com/stan-dev/posteriordb for its data; means,
deviations and quantiles of its draws are in references.json. Every run is a process of its own, whose CPU seconds are
counted with its imports, and a line of a file of results: what is there is not run again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

REFERENCES = Path(__file__).with_name("references.json")
SAMPLES = Path(__file__).with_name("samples.npz")
"""Data and some draws of small posteriors, with which a test needs no copy; licence and source as in references.json."""
SMALL = (
    "arK-arK",
    "arma-arma11",
    "eight_schools-eight_schools_centered",
    "eight_schools-eight_schools_noncentered",
    "garch-garch11",
    "gp_pois_regr-gp_pois_regr",
    "gp_pois_regr-gp_regr",
    "hmm_example-hmm_example",
    "hudson_lynx_hare-lotka_volterra",
    "kidiq-kidscore_interaction",
    "kilpisjarvi_mod-kilpisjarvi",
    "low_dim_gauss_mix-low_dim_gauss_mix",
    "mesquite-logmesquite_logvas",
    "one_comp_mm_elim_abs-one_comp_mm_elim_abs",
)
KEPT_DRAWS = 200
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
METHODS = ("langevax", "numpyro", "blackjax", "nutpie", "nutpie_low_rank")
OURS, THEIRS = 8, 2
"""Seeds."""
PART = (
    "arma-arma11",
    "bball_drive_event_0-hmm_drive_0",
    "diamonds-diamonds",
    "earnings-logearn_interaction",
    "eight_schools-eight_schools_centered",
    "garch-garch11",
    "gp_pois_regr-gp_pois_regr",
    "hudson_lynx_hare-lotka_volterra",
    "kidiq-kidscore_interaction",
    "low_dim_gauss_mix-low_dim_gauss_mix",
    "mesquite-mesquite",
    "one_comp_mm_elim_abs-one_comp_mm_elim_abs",
)
MAX_MEAN_ERROR, MAX_SD_ERROR, MAX_SHARE_ERROR = 0.1, 0.05, 0.05
"""Of means in deviations, of deviations, and of the shares of draws below quantiles."""
MONTE_CARLO = 3
"""Standard errors of the draws, added to these limits."""


def read(folder: Path, path: str) -> Any:
    """Return what a file of posteriordb holds, zipped or not."""
    file = folder / "posterior_database" / path
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    with zipfile.ZipFile(f"{file}.zip") as archive:
        return json.loads(archive.read(archive.namelist()[0]))


def reference_draws(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Return the reference draws of a posterior, (draw,) by number."""
    about = read(folder, f"posteriors/{name}.json")
    path = f"reference_posteriors/draws/draws/{about['reference_posterior_name']}.json"
    chains = read(folder, path)
    return {key: np.concatenate([c[key] for c in chains]) for key in chains[0]}


def make(folder: Path) -> None:
    """Write means, deviations and quantiles of all reference draws that are there, and data and draws of small ones."""
    posteriors, samples = {}, {}
    for file in sorted((folder / "posterior_database" / "posteriors").glob("*.json")):
        about = json.loads(file.read_text(encoding="utf-8"))
        name = about.get("reference_posterior_name")
        path = f"reference_posteriors/draws/draws/{name}.json"
        if not name or not (folder / "posterior_database" / f"{path}.zip").exists():
            continue
        draws, numbers = reference_draws(folder, file.stem), {}
        for number, values in draws.items():
            statistics = values.mean(), values.std(), *np.quantile(values, QUANTILES)
            numbers[number] = [float(f"{value:.7g}") for value in statistics]
        if file.stem in SMALL:
            data = read(folder, f"data/data/{about['data_name']}.json")
            for key, value in data.items():
                samples[f"{file.stem}/data/{key}"] = np.asarray(value)
            for number, values in draws.items():
                thinned = values[:: len(values) // KEPT_DRAWS]
                samples[f"{file.stem}/draws/{number}"] = thinned.astype(np.float32)
        posteriors[file.stem] = {
            "model": about["model_name"],
            "data": about["data_name"],
            "numbers": numbers,
        }
    table = {
        "source": "https://github.com/stan-dev/posteriordb, reference posteriors: 10,000 draws of Stan each",
        "licence": "BSD 3-Clause, Copyright (c) 2019-2025 the authors of posteriordb (LICENCE.md there)",
        "statistics": ["mean", "sd", *(f"q{round(100 * q)}" for q in QUANTILES)],
        "posteriors": posteriors,
    }
    np.savez_compressed(SAMPLES, **samples)
    REFERENCES.write_text(json.dumps(table, indent=0) + "\n", encoding="utf-8")


def sample_of(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return data and draws of a small posterior from the file beside this one."""
    parts: dict[str, dict[str, Any]] = {"data": {}, "draws": {}}
    with np.load(SAMPLES) as samples:
        for path in samples:
            posterior, part, key = path.split("/")
            if posterior == name:
                parts[part][key] = samples[path]
    return parts["data"], parts["draws"]


def check(folder: Path, names: Sequence[str], known: dict) -> None:
    """Print the errors of Stein's identities of the densities at the reference draws."""
    from benchmarks.posteriordb.stein import MAX_ERROR, largest_error

    print("| posterior | standard errors | |\n|---|---|---|")
    for name in names:
        data = read(folder, f"data/data/{known[name]['data']}.json")
        draws = reference_draws(folder, name)
        error = largest_error(known[name]["model"], data, draws)
        verdict = "" if error < MAX_ERROR else "another density"
        print(f"| {name} | {error:.1f} | {verdict} |", flush=True)


def judge(draws: dict[str, np.ndarray], numbers: dict[str, list[float]]) -> dict:
    """Compare draws (chain, draw, ...) by site with the reference, whose numbers are like `beta[1]`."""
    from benchmarks.posteriors.references import statistic

    values = np.stack([_number(draws, name) for name in numbers], axis=2)
    rows = np.array(list(numbers.values()))
    mean, sd, quantiles = rows[:, 0], rows[:, 1], rows[:, 2:]
    noise = statistic("mcse", values) / sd
    sd_noise = statistic("mcse", values, method="sd") / sd
    ess = statistic("ess", values)
    errors = np.abs(values.mean((0, 1)) - mean) / sd
    sd_errors = np.abs(values.std((0, 1)) / sd - 1)
    shares = (values[..., None] <= quantiles).mean((0, 1)) - QUANTILES
    of_shares = np.sqrt(np.multiply(QUANTILES, 1 - np.array(QUANTILES)) / ess[:, None])
    is_right = (
        np.all(errors < MAX_MEAN_ERROR + MONTE_CARLO * noise)
        and np.all(sd_errors < MAX_SD_ERROR + MONTE_CARLO * sd_noise)
        and np.all(np.abs(shares) < MAX_SHARE_ERROR + MONTE_CARLO * of_shares)
    )
    return {
        "mean_error": float(errors.max()),
        "sd_error": float(sd_errors.max()),
        "share_error": float(np.abs(shares).max()),
        "is_right": bool(is_right),
        "ess": float(ess.min()),
    }


def _number(draws: dict[str, np.ndarray], name: str) -> np.ndarray:
    site, _, index = name.partition("[")
    values = np.asarray(draws[site], np.float64)
    return values[..., int(index[:-1]) - 1] if index else values


def run(
    folder: Path, name: str, about: dict, method: str, seed: int, options: Any
) -> dict:
    """Run one method in a process of its own, and return its line."""
    line = {"posterior": name, "method": method, "seed": seed}
    python = options.nutpie if method.startswith("nutpie") else sys.executable
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # compiling counts
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "draws.npz"
        task = [str(folder), about["model"], about["data"], method, str(seed), str(out)]
        task.append(str(options.limit))
        done = subprocess.run(
            [python, "-m", "benchmarks.posteriordb.runs", *task],
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [
                f"ended with {done.returncode}"
            ]
            is_over = done.returncode < 0
            reason = f"over {options.limit} CPU seconds" if is_over else last[0]
            return line | {"verdict": "refused", "sentences": [reason]}
        line |= json.loads(done.stdout.strip().splitlines()[-1])
        if "refused" in line:
            return line | {"verdict": "refused", "sentences": [line.pop("refused")]}
        with np.load(out) as draws:
            line |= judge(dict(draws), about["numbers"])
    verdict = "right" if line["is_right"] else "silent"
    return line | {"verdict": "refused" if line["sentences"] else verdict}


def print_tables(lines: list[dict], names: Sequence[str]) -> None:
    """Print a line for each posterior and method, means over seeds, and the counts of each method."""
    print("\n| posterior | method | right | refused | silent | ", end="")
    print("ESS a gradient | ESS a CPU s | CPU s to a first result |")
    print("|---|---|---|---|---|---|---|---|")
    for name in (*names, "all, medians"):
        for method in METHODS:
            own = [line for line in lines if line["method"] == method]
            if name in names:
                own = [line for line in own if line["posterior"] == name]
            if not own:
                continue
            verdicts = [line["verdict"] for line in own]
            counts = " | ".join(
                str(verdicts.count(v)) for v in ("right", "refused", "silent")
            )
            drawn = [line for line in own if "ess" in line]
            columns = (
                [line["ess"] / line["gradients"] for line in drawn],
                [line["ess"] / line["seconds"] for line in drawn],
                [line["process"] for line in drawn],
            )
            medians = " | ".join(
                f"{np.median(column):.3g}" if column else "" for column in columns
            )
            print(f"| {name} | {method} | {counts} | {medians} |")
    for line in lines:
        if line["verdict"] != "right":
            what = " ".join(line["sentences"]) or (
                f"means off by {line['mean_error']:.2f} sd, sds by {line['sd_error']:.0%}, "
                f"shares below quantiles by {line['share_error']:.2f}"
            )
            print(
                f"- {line['posterior']}, {line['method']}, seed {line['seed']}: {line['verdict']}; {what}"
            )


def main(arguments: Sequence[str] = ()) -> None:
    """Run what the file of results lacks, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks posteriordb", description=__doc__
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="a copy of posteriordb"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/posteriordb.jsonl"),
        help="file of results, which is continued; %(default)s",
    )
    parser.add_argument(
        "--part", action="store_true", help=f"these twelve: {', '.join(PART)}"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these posteriors")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS, help="all by default"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        help=f"{OURS} of langevax and {THEIRS} of others by default",
    )
    parser.add_argument(
        "--nutpie",
        metavar="PYTHON",
        help="of an environment with nutpie, jax and numpyro; its lines are left out without",
    )
    parser.add_argument(
        "--limit", type=int, default=300, help="CPU seconds of a run; %(default)s"
    )
    parser.add_argument(
        "--make", action="store_true", help="write references.json from the draws"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="hold the densities against the reference draws, without sampling",
    )
    options = parser.parse_args(arguments)
    if options.make:
        make(options.folder)
        return
    known = json.loads(REFERENCES.read_text(encoding="utf-8"))["posteriors"]
    names = options.only or (PART if options.part else list(known))
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no reference of {unknown[0]!r}; there are {', '.join(known)}")
    if options.check:
        check(options.folder, names, known)
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    if options.out.exists():
        texts = options.out.read_text(encoding="utf-8").splitlines()
        lines = [json.loads(text) for text in texts]
    place = lambda line: (line["posterior"], line["method"], line["seed"])
    done = {place(line) for line in lines}
    for method in options.methods:
        if method.startswith("nutpie") and not options.nutpie:
            continue
        for seed in range(options.seeds or (OURS if method == "langevax" else THEIRS)):
            for name in names:
                if (name, method, seed) in done:
                    continue
                line = run(options.folder, name, known[name], method, seed, options)
                lines.append(line)
                print(*place(line), line["verdict"], *line["sentences"], flush=True)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    print_tables([line for line in lines if line["posterior"] in names], names)
