"""The arguments and options of every command, each a dataclass whose docstring is the command's help.

A field is stated once, with its default, its help and the panel of `--help` that shows it. No command is imported here.
"""

# ruff: noqa: RUF009 (a default that is a function call: these return fields of dataclasses)

import math
import shlex
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import click
import typer

from langevax.app.errors import BadInput, listing

Task = Literal["regression", "classification"]
LARGEST_SEED = 2**31 - 1
"""The largest whole number of an option: counters of programs have 32 bits."""
FAMILY_TASKS: dict[str, Task] = {
    "gaussian": "regression",
    "poisson": "regression",
    "negative-binomial": "regression",
    "logistic": "classification",
    "ordinal": "classification",
}
"""Families of regressions, and their tasks."""


def local_path(text: str) -> Path:
    """Return the path in a text; refuse an empty one, as of an unset variable of a shell, and addresses."""
    from langevax import storage  # `--help` needs no NumPy

    try:
        storage.local_path("the path", text)
    except ValueError as refused:
        raise typer.BadParameter(f"{refused}") from refused
    return Path(text)


def defaults_of(options: type[Any]) -> dict[str, Any]:
    """Return the defaults of the fields of a dataclass that have one."""
    defaults = {one.name: one.default for one in fields(options)}
    made = {
        one.name: one.default_factory()
        for one in fields(options)
        if one.default_factory is not MISSING
    }
    return {
        name: value for name, value in (defaults | made).items() if value is not MISSING
    }


def _settings(options: Any, *without: str) -> dict[str, Any]:
    """Return the values of options as a result stores them."""
    names = [one.name for one in fields(options) if one.name not in without]
    return {name: getattr(options, name) for name in names}


class Panel(StrEnum):
    """The panels of a help, in which options are shown."""

    READ = "Reading the table"
    LEARN = "The network"
    REGRESS = "A regression instead of a network"
    CURVES = "Curves"
    METHOD = "The method"
    BUDGET = "The budget"
    RUN = "Running"


def _field(default: Any, option: Any) -> Any:
    """Return the field of a dataclass that is an argument or an option of a command."""
    if isinstance(default, list):
        return field(default_factory=list, metadata={"typer": option})
    return field(default=default, metadata={"typer": option})


def _path(metavar: str, help: str, default: Any = MISSING) -> Any:
    """Return an argument that is a file or a folder, or several of them."""
    option = typer.Argument(parser=local_path, metavar=metavar, help=help)
    return _field(default, option)


def _option(
    panel: str,
    metavar: str,
    help: str,
    default: Any = None,
    name: str | None = None,
    **limits: Any,
) -> Any:
    """Return an option, shown in a panel of the help."""
    names = [name] if name else []
    option = typer.Option(
        *names, metavar=metavar, help=help, rich_help_panel=panel, **limits
    )
    return _field(default, option)


def _whole(
    panel: str,
    help: str,
    default: Any = None,
    least: int = 1,
    most: int = LARGEST_SEED,
) -> Any:
    """Return an option that is a whole number."""
    return _option(panel, "INT", help, default, min=least, max=most)


def _folder(metavar: str, help: str, default: Any = None) -> Any:
    """Return the option that says where to write."""
    return _option(Panel.RUN, metavar, help, default, "--out", parser=local_path)


def _flag(name: str, help: str) -> Any:
    """Return an option without a value."""
    return _field(False, typer.Option(name, help=help, rich_help_panel=Panel.RUN))


def _encoding() -> Any:
    """Return the option that says how bytes are letters."""
    help = "Encoding of a file that is not UTF-8, such as cp1252 (Windows) or cp850."
    return _option(Panel.READ, "NAME", help)


def _json() -> Any:
    return _flag("--json", "Print the result as JSON and nothing else.")


def _seed() -> Any:
    return _whole(Panel.RUN, "The same seed gives the same result.", 0, 0)


@dataclass(frozen=True)
class FitOptions:
    """Fit a network to a table, compare it with other methods on held-out rows, and certify it.

    \b
    Examples:
      langevax fit wine.csv --target quality --out wine
      langevax fit wine.csv --target quality --dry-run
      langevax fit adult.csv.gz --target income --out adult --drop fnlwgt
      langevax fit verkauf.csv --target umsatz --out umsatz --read datum=day-first --read filiale=words
      langevax fit visits.csv --target pressure --out visits --group patient
      langevax fit ships.csv --target incidents --family poisson --exposure months --out ships
      langevax fit spectra.csv --target fat --curves wide --derivative 2 --out fat
      langevax fit readings.csv --target fault --curves long --id machine --time t --value temperature --out fault

    TABLE is CSV, TSV (also gzipped) or Parquet with a header, as spreadsheets and data bases write it. Whether a
    column holds numbers, dates or words is read from all of its values, each decision is printed with its evidence,
    and --dry-run prints them and stops. What can be read in two ways, such as 1,234, 01/02/2024 or 1:10, is refused,
    and --read answers; numbers or dates in two notations are, too. Text is UTF-8; for others pass --encoding. Missing
    numbers are replaced by the median and marked; a missing word is a category of its own. Columns that only number
    the rows are left out. Columns that may leak the target, columns whose values stand for others in several rows, as a
    patient's name does for the sex, words that look like numbers or dates, and values that repeat far from all others,
    such as -999, are named; subtotals within the table are not.

    A fifth of the rows is held out for the scores. Where several rows belong to one patient, batch or site, --group
    COLUMN keeps them on one side of every split; otherwise scores and intervals are those of patients already seen.

    With --family, a regression is fitted instead: poisson or negative-binomial for counts, gaussian for other numbers,
    logistic for two classes, ordinal for numbered classes. The report then has rate ratios, odds ratios or slopes with
    intervals, and how much worse Bayes predicts new rows than the best distribution of the coefficients does.

    With --curves wide each row is a curve, and columns named by numbers are its values at these times (wavelengths,
    hours); with --curves long each row is a reading. Missing cells are interpolated.

    DIR then holds report.html (open it in a browser), model.safetensors, schema.json, result.json, and holdout.csv with
    the predictions for the held-out rows. An
    interrupted run begins again when the same command is run; where it trains by steps, it goes on from DIR/training.

    Settings that are not options here are parameters of langevax.sklearn.MeanFieldRegressor and MeanFieldClassifier.

    Exit codes: 0 success, 1 the run failed, 2 wrong usage or bad input, 130 interrupted, 143 ended by SIGTERM, 129 by
    SIGHUP.
    """

    table: Path = _path("TABLE", "The table to learn from, one row per example.")
    target: str = _option(Panel.READ, "COLUMN", "The column to predict.", MISSING)
    out: Path | None = _folder(
        "DIR", "The folder for model and report; created if needed."
    )
    task: Task | None = _option(
        Panel.READ,
        "TASK",
        "regression or classification. By default words, true/false and few distinct "
        "integers are classes, other numbers are not.",
    )
    read: list[str] = _option(
        Panel.READ,
        "COLUMN=KIND",
        "How to read a column: words, ignore-case (words), numbers, dates, "
        "decimal-point, decimal-comma, day-first or month-first; it is then used even "
        "if it looks like an id, and words without digits among its numbers or dates "
        "count as missing. Without COLUMN=, the answer for all columns that can be "
        "read in two ways. Repeat for more.",
        [],
    )
    encoding: str | None = _encoding()
    drop: list[str] = _option(
        Panel.READ, "COLUMN", "A column to leave out; repeat for more.", []
    )
    group: str | None = _option(
        Panel.READ,
        "COLUMN",
        "Rows with the same value of this column, such as the visits of a patient, are "
        "held out together: scores and intervals are those of new patients. It is not "
        "used as an input.",
    )
    num_particles: int | None = _whole(
        Panel.LEARN, "Neurons of the network; 500 by default, 1000 on curves.", None, 2
    )
    temperature: float | None = _option(
        Panel.LEARN,
        "NUMBER",
        "Temperature of the noise: higher is smoother. By default chosen on folds of "
        "the rows, which also give `langevax predict --interval`.",
    )
    num_steps: int | None = _whole(
        Panel.LEARN,
        "Train at one temperature, by at most so many steps of noisy gradients; they "
        "end before on a plateau. By default the temperature falls and the network "
        "follows, up to 20,000 rows.",
        None,
    )
    threshold: str = _option(
        Panel.LEARN,
        "NUMBER",
        "For two classes: the probability from which the second, in alphabetical or "
        "numerical order, is predicted; balanced chooses it on folds, so that both are "
        "found equally well. Suits a rare class.",
        "0.5",
    )
    family: str | None = _option(
        Panel.REGRESS,
        "NAME",
        "poisson, negative-binomial (counts), gaussian (other numbers), logistic (two "
        "classes) or ordinal (numbered classes).",
        click_type=click.Choice(list(FAMILY_TASKS)),
    )
    exposure: str | None = _option(
        Panel.REGRESS,
        "COLUMN",
        "Of counts: the time, area or number of people in which each row's count "
        "arose; coefficients are then of rates.",
    )
    curves: Literal["wide", "long"] | None = _option(
        Panel.CURVES,
        "KIND",
        "wide: a row per curve, with every column but the target a value of it. long: "
        "a row per reading, in the columns --id, --time and --value.",
    )
    id: str | None = _option(
        Panel.CURVES, "COLUMN", "Long: which curve a reading belongs to.", None, "--id"
    )
    time: str | None = _option(Panel.CURVES, "COLUMN", "Long: the time of a reading.")
    value: list[str] = _option(
        Panel.CURVES, "COLUMN", "Long: the value read; repeat for more channels.", []
    )
    derivative: int = _whole(
        Panel.CURVES, "Learn from this derivative, 0 to 2; 2 suits spectra.", 0, 0, 2
    )
    seed: int = _seed()
    skip: list[str] = _option(
        Panel.RUN,
        "peers|certificate",
        "peers: do not fit other methods to the same rows. certificate: do not bound "
        "the global optimum of the training, which takes about a minute for a few "
        "hundred rows. Repeat for both.",
        [],
        click_type=click.Choice(["peers", "certificate"]),
    )
    force: bool = _flag(
        "--force", "Replace the model in DIR, or start an interrupted run again."
    )
    dry_run: bool = _flag(
        "--dry-run", "Print how the table is read and split; write nothing."
    )
    json: bool = _json()

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise BadInput(
                f"--temperature {self.temperature} is not a positive number; pass one "
                "such as 0.01, or leave it out."
            )
        if self.out is None and not self.dry_run:
            raise BadInput(
                "--out is missing; name the folder for model and report, or pass "
                "--dry-run to write nothing."
            )
        _check_threshold(self)
        _check_family(self)
        _check_curves(self)

    @property
    def folder(self) -> Path:
        """The folder for model and report; this one where none is written."""
        return self.out or Path()

    @property
    def asked(self) -> tuple[Task | None, str]:
        """The task that the options ask for, and the option that does; None and nothing where the table decides."""
        if self.family is not None:
            return FAMILY_TASKS[self.family], f"--family {self.family}"
        return self.task, f"--task {self.task}" if self.task else ""

    @property
    def keep(self) -> list[str]:
        """Columns to use although they identify rows: those that `--read` names, and the exposure."""
        named = [one.rpartition("=")[0] for one in self.read]
        return [name for name in [*named, self.exposure] if name]

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the model depends on, as plain values."""
        return _settings(self, "table", "target", "out", "force", "dry_run", "json")

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that are not at their defaults."""
        defaults = defaults_of(FitOptions)
        return {
            name: value
            for name, value in self.settings.items()
            if value != defaults[name]
        }

    def command(self) -> str:
        """Return the command line, with the options that are not at their defaults."""
        words = ["langevax", "fit", str(self.table)]
        words += ["--target", self.target, "--out", str(self.folder)]
        for name, value in self.changed.items():
            for one in value if isinstance(value, list) else [value]:
                words += [option_of(name), str(one)]
        return shlex.join(words)


def option_of(name: str) -> str:
    """Return the option of a field."""
    return "--" + name.replace("_", "-")


def _check_threshold(options: FitOptions) -> None:
    """Raise `BadInput` where the threshold is not a probability, or cannot be chosen."""
    text = options.threshold
    if text == "balanced":
        if options.temperature is not None:
            raise BadInput(
                "--threshold balanced is chosen on the folds that choose the "
                "temperature; leave out --temperature."
            )
        return
    try:
        valid = 0 < float(text) < 1
    except ValueError:
        valid = False
    if not valid:
        raise BadInput(
            f"--threshold {text!r} is not a probability; pass a number such as 0.2, or "
            "balanced."
        )


def _check_family(options: FitOptions) -> None:
    """Raise `BadInput` where an option does not apply to the kind of model."""
    family = options.family
    task = options.task
    if options.exposure is not None and family not in ("poisson", "negative-binomial"):
        raise BadInput(
            f"--exposure {options.exposure!r} is for counts, with --family poisson or "
            "negative-binomial; pass one of them, or leave it out."
        )
    if family is None:
        return
    for name in ("num_particles", "temperature", "num_steps", "threshold", "curves"):
        if name in options.changed:
            raise BadInput(
                f"{option_of(name)} {getattr(options, name)} is for networks, and "
                f"--family {family} fits none; leave one of them out."
            )
    if task not in (None, FAMILY_TASKS[family]):
        raise BadInput(
            f"--task {task} contradicts --family {family}, which is for "
            f"{FAMILY_TASKS[family]}."
        )


def _check_curves(options: FitOptions) -> None:
    """Raise `BadInput` where an option does not apply to the kind of table."""
    columns = {"--id": options.id, "--time": options.time, "--value": options.value}
    present = [option for option, value in columns.items() if value]
    if options.curves is None and (present or options.derivative):
        raise BadInput(
            f"{[*present, '--derivative'][0]} is for tables of curves; pass --curves "
            "wide or --curves long too."
        )
    if options.curves is not None and "threshold" in options.changed:
        raise BadInput(
            "--threshold is for tables of columns; leave it out with --curves."
        )
    if options.curves == "wide" and present:
        raise BadInput(
            f"{present[0]} is for --curves long, a row per reading; with --curves wide "
            "columns are times."
        )
    if options.curves != "long":
        return
    if missing := [option for option in columns if option not in present]:
        raise BadInput(
            f"--curves long needs {' and '.join(missing)} too: the columns of a "
            "reading."
        )
    if options.drop:
        raise BadInput(
            f"--drop {options.drop[0]!r}: --curves long reads only the columns named "
            "in its options."
        )
    named = [options.target, options.id, options.time, *options.value]
    if twice := {name for name in named if named.count(name) > 1}:
        raise BadInput(
            f"--target, --id, --time and --value name {listing(map(str, twice))} "
            "twice; each is a column of its own."
        )


@dataclass(frozen=True)
class PredictOptions:
    """Predict with a fitted model: one line for each line of the table below its header, in order; for curves in a
    long table, one row for each id, which stands beside its prediction.

    \b
    Examples:
      langevax predict wine new.csv
      langevax predict wine new.csv --out predicted.parquet
      langevax predict wine new.csv --interval 0.9

    The columns are `prediction` and, for classes, `probability_CLASS` for each of them. Columns are read as in
    training, and missing values filled as there. Columns unknown to the model are ignored, and words that training
    never saw are read as none of its words, with a warning on stderr. Empty lines are refused, numbers and dates in
    another notation than in training, a table that lacks a column, and words among numbers, unless --read of the fit
    had them counted as missing. The table and the files of the model are never overwritten.
    """

    model: Path = _path("MODEL", "The folder that `langevax fit` made.")
    table: Path = _path("TABLE", "The rows to predict for: CSV, TSV or Parquet.")
    out: Path | None = _folder(
        "FILE", "CSV, TSV or Parquet by its suffix; by default CSV on stdout."
    )
    encoding: str | None = _encoding()
    interval: float | None = _option(
        Panel.RUN,
        "COVERAGE",
        "Write also `lower` and `upper` of an interval that covers this share of new "
        "rows, such as 0.9; for classes `set`, the classes that it may well be.",
    )
    force: bool = _flag("--force", "Replace FILE if it exists.")

    def __post_init__(self) -> None:
        if self.interval is not None and not 0 < self.interval < 1:
            raise BadInput(
                f"--interval {self.interval:g} is not a share of new rows; pass a "
                "number such as 0.9."
            )


@dataclass(frozen=True)
class CertifyOptions:
    """Bound how low the training of a fitted model could have gone, with a larger budget than the fit had.

    \b
    Examples:
      langevax certify wine --cpu-seconds 300
      langevax certify wine wine.csv --effort 1e10 --json

    The interval holds the least training objective of all networks of this kind, at the temperature of the fit. It
    says how far training could still go, and nothing about how well the model predicts. The training rows are not in
    DIR: they are read again from TABLE, by default the one of the fit, and compared with the hash that the model holds.

    Of a regression (`langevax fit --family`) the interval holds the least objective of all distributions of its
    coefficients at the share of Bayes of the fit. No search is kept: each call begins anew.
    """

    model: Path = _path("DIR", "The folder that `langevax fit` made.")
    table: Path | None = _path(
        "TABLE", "The table of the fit, where it has been moved.", None
    )
    cpu_seconds: float | None = _option(
        Panel.BUDGET, "SECONDS", "CPU seconds to spend, converted by a measured rate."
    )
    effort: float | None = _option(
        Panel.BUDGET,
        "NUMBER",
        "Instead: gradients of one neuron, or of one particle, at one row; 3e9 by "
        "default.",
    )
    json: bool = _json()

    def __post_init__(self) -> None:
        budgets = {"--cpu-seconds": self.cpu_seconds, "--effort": self.effort}
        for option, value in budgets.items():
            if value is not None and not 0 < value < math.inf:
                raise BadInput(
                    f"{option} {value:g} is not a positive number; pass one such as "
                    "300."
                )
        if None not in budgets.values():
            raise BadInput(
                "--effort and --cpu-seconds are two budgets; pass one of them."
            )


@dataclass(frozen=True)
class ExplainOptions:
    """Show which training rows made a prediction, or without ROW which rows are best checked for errors.

    \b
    Examples:
      langevax explain wine
      langevax explain wine 412
      langevax explain wine 412 --most 20 --json

    In closed form from the one fit: what would be predicted without each row of training, with all choices of the fit
    as they are. Where a row holds the network so much that this is not to be trusted, it is marked unsure.
    """

    model: Path = _path("DIR", "The folder that `langevax fit` made.")
    row: str | None = _field(
        None,
        typer.Argument(
            metavar="ROW",
            help="Its number, 1 below the header, or its id, held out or not.",
        ),
    )
    table: Path | None = _option(
        Panel.RUN,
        "TABLE",
        "The table of the fit, where it has been moved.",
        parser=local_path,
    )
    most: int = _whole(Panel.RUN, "Rows to show.", 8)
    json: bool = _json()


@dataclass(frozen=True)
class ConvertOptions:
    """Convert a table of numbers to a row file, from which training reads rows without loading the file into memory.

    \b
    Examples:
      langevax convert clicks.parquet --target clicked --out clicks.rows
      langevax convert 'clicks/*.parquet' --target clicked --out clicks.rows --drop user --drop day
      langevax convert january.csv.gz february.csv.gz --target delay --out flights.rows

    TABLE is CSV, TSV (also gzipped) in UTF-8, or Parquet, with a header; several tables are concatenated. Memory stays at a few
    hundred MB for any number of rows. Text is read as by `langevax fit`, by the first rows of the file; dates become
    days since 1970, yes and no become 1 and 0. Each decision is printed, and a cell further down that is written
    otherwise is an error that names column and row. So are other words; and missing values, unless --missing says
    what to do about them.

    \b
    Then in Python (FiniteSum, posterior, MeanFieldRisk; `langevax fit` reads tables, not row files):
      rows = langevax.data.open_rows("clicks.rows")
      problem = langevax.FiniteSum(loss, (rows["inputs"], rows["targets"]))

    Exit codes: 0 success, 1 the disk is full or failed, 2 wrong usage or bad input, 130 interrupted; on failure, no
    file is left.
    """

    table: list[Path] = _path("TABLE...", "One or more files, or a quoted pattern.")
    target: str = _option(
        Panel.READ, "COLUMN", "The column to learn; integers stay integers.", MISSING
    )
    out: Path = _folder("NAME.rows", "The row file to write, a folder.", MISSING)
    drop: list[str] = _option(
        Panel.READ, "COLUMN", "A column to leave out; repeat for more.", []
    )
    read: list[str] = _option(
        Panel.READ, "COLUMN=KIND", "How to read a column, as in `langevax fit`.", []
    )
    missing: Literal["error", "drop", "median"] = _option(
        Panel.READ,
        "error|drop|median",
        "Rows with missing values: an error, left out, or filled by the medians of the "
        "first rows (but rows without a target are left out).",
        "error",
    )
    force: bool = _flag("--force", "Replace the row file NAME.rows.")


@dataclass(frozen=True)
class CheckOptions:
    """Check that models, row files and checkpoints are as they were written: every byte against the stored hashes.

    \b
    Examples:
      langevax check wine
      langevax check model.safetensors clicks.rows
      langevax check checkpoints/run1

    PATH is a folder that `langevax fit` made, a model that save() wrote, a row file, a checkpoint of simulate(), of
    an estimator, or of a Flower server. What is known of a model is printed: its data, versions, scores and command.

    Exit codes: 0 all are whole, 2 one is damaged, of another version, being written, or none of these.
    """

    paths: list[Path] = _path(
        "PATH...", "Folders of fits, models, row files and checkpoints."
    )


@dataclass(frozen=True)
class FlowerAppOptions:
    """Write a Flower app: three small files, a pyproject.toml and a README, ready for `flwr run`.

    \b
    Examples:
      langevax federated app myapp
      langevax federated app myapp --framework torch --method fedavg

    By default the app learns handwritten digits by softmax regression, with the gradient written in JAX, PyTorch or
    NumPy; task.py is the file to edit, which may import a `langevax.flower.Task` from your own package.

    \b
    --method  minibatch-sgd, fedavg, fedprox, fednova, feddyn, scaffold, scaffold-m, mimesgd, minibatch-sarah,
              bvr-l-sgd, bvr-l-psgd or fledge

    Exit codes: 0 done, 2 bad usage or bad input.
    """

    folder: Path = _path("DIR", "The app's folder, which names the app.")
    framework: Literal["jax", "torch", "numpy"] = _option(
        Panel.METHOD, "NAME", "Framework of the gradient: jax, torch or numpy.", "jax"
    )
    method: str = _option(Panel.METHOD, "NAME", "The method.", "fledge")
    force: bool = _flag("--force", "Overwrite existing files.")
    json: bool = _json()
