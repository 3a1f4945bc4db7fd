"""`langevax fit`: its options and its help."""

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from langevax.app.errors import BadInput, exit_codes, listing
from langevax.app.fitting.processes import process_group
from langevax.app.options import LARGEST, defaults_of, local_path, with_fields
from langevax.app.regressions import FAMILIES, check_family, family_name

HELP = """Fit a network to a table, compare it with other methods on held-out rows, and certify it.

\b
Examples:
  langevax fit wine.csv --target quality --out wine
  langevax fit adult.csv.gz --target income --out adult --drop fnlwgt
  langevax fit sales.parquet --target revenue --out sales --num-steps 5000
  langevax fit verkauf.csv --target umsatz --out umsatz --read datum=day-first --read filiale=words
  langevax fit visits.csv --target pressure --out visits --group patient
  langevax fit visits.csv --target visits --family poisson --out visits
  langevax fit ships.csv --target incidents --family poisson --exposure months --out ships
  langevax fit visits.csv --target visits --out visits --dry-run
  langevax fit wine.csv --target quality --out wine --resume
  langevax fit spectra.csv --target fat --curves wide --derivative 2 --out fat
  langevax fit readings.csv --target fault --curves long --id machine --time t --value temperature --out fault

TABLE is CSV, TSV (also gzipped) or Parquet, with a header, as spreadsheets and data bases write it: with commas,
semicolons, tabs or bars, in UTF-8, UTF-16 or Windows-1252. Columns of numbers ($1,234.50, 12.3%, 1.234,5 kg), dates
(2024-01-31T10:00Z, 31.01.2024, 1/31/2024 2:30 PM), yes and no, and words are recognised by all their values. Empty
cells, NA, NaN, None, null and ? are missing values, and among numbers and dates also words such as unknown: a missing
number is replaced by the median and marked, a missing word is a category of its own. Dates are days since 1970. Every
line must have as many fields as the header. Columns that identify or number the rows are left out, and columns that
may leak the target are named. Each of these decisions is printed with its evidence,
and stored in schema.json; --dry-run prints them and stops. Where several rows are of one patient, batch or site,
--group COLUMN keeps them on one side of every split; otherwise scores and intervals are those of patients that were
seen. What can be read in two ways, such as 1,234 or 01/02/2024, is decided by values that can be read in one, and
otherwise refused, as are columns of which some cells are not numbers or dates; --read answers:
--read price=decimal-comma, --read day-first, --read zip=words, --read dose=numbers. Words that differ
only in case are categories of their own; --read city=ignore-case makes them one.

With --curves wide, columns named by numbers are values at these times (wavelengths, hours), other columns values at
even steps from 0 to 1; missing cells are interpolated. With --curves long, times may be few, may be dates and may
differ between curves; there is one target for each id. The network learns from smooth waves or from short patterns,
whichever have the smaller leave-one-out error (--encoder), and other methods get the same inputs.

With --family, a regression is fitted instead of a network: poisson or negative-binomial for counts, gaussian for other
numbers, logistic for two classes, ordinal for classes in an order (--order, for words). The table is read, split and
scored as for a network. The report has rate ratios, odds ratios or slopes with intervals that hold although rows spread
otherwise than the model says, and how much worse Bayes predicts new rows for that; the predictions are those of the law
of its coefficients that predicts best. Options of networks are refused. Where counts arose in
different times, areas or numbers of people, --exposure COLUMN makes it a regression of rates; --offset COLUMN is a term
known beforehand, with a slope of 1. The other methods have these columns as inputs. --num-replicates 3 shows whether
laws of other seeds agree.

Several processes, one on each machine or core, can share the neurons: start the same command in each, with DIR on a
shared disk, and --coordinator, --num-processes and --process-id. The result is that of one process.

DIR then holds report.html (open it in a browser), model.safetensors, schema.json, result.json, holdout.csv, the
predictions for the held-out rows, and certificate.npz, from which `langevax certify DIR` goes on.

SIGTERM and SIGHUP save the training as Ctrl-C does, within a step or a quarter of a second and the time of writing.

Exit codes: 0 success, 1 the run failed, 2 wrong usage or bad input, 130 interrupted, 143 ended by SIGTERM, 129 by
SIGHUP.
"""

Solver = Literal["mfld", "svrg-mfld", "underdamped", "pda", "fictitious-play", "psdca"]
CURVE_OPTIONS = ("encoder", "derivative", "modes", "smoothing")


@dataclass(frozen=True)
class FitOptions:
    """The options of `langevax fit`, with their defaults and help."""

    table: Annotated[
        Path,
        typer.Argument(
            parser=local_path,
            metavar="TABLE",
            help="The table to learn from, one row per example.",
        ),
    ]
    target: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column to predict.")
    ]
    out: Annotated[
        Path,
        typer.Option(
            parser=local_path,
            metavar="DIR",
            help="The folder for model and report; created if needed.",
        ),
    ]
    task: Annotated[
        Literal["regression", "classification"] | None,
        typer.Option(
            metavar="TASK",
            help="regression or classification. By default words, true/false and few distinct integers are classes, "
            "other numbers are not.",
        ),
    ] = None
    family: Annotated[
        str | None,
        typer.Option(
            parser=family_name,
            metavar="NAME",
            help="Fit a regression instead of a network: poisson or negative-binomial (counts), gaussian (other "
            "numbers), logistic (two classes) or ordinal (classes in an order).",
        ),
    ] = None
    order: Annotated[
        list[str],
        typer.Option(
            metavar="CLASS",
            help="With --family ordinal: a class; repeat for all, from the lowest to the highest.",
        ),
    ] = field(default_factory=list)
    exposure: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="With --family poisson or negative-binomial: the time, area or number of people in which each row's "
            "count arose, which multiplies its mean.",
        ),
    ] = None
    offset: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="With --family: a column of numbers that is added to the linear predictor, with a slope of 1.",
        ),
    ] = None
    num_replicates: Annotated[
        int,
        typer.Option(
            metavar="INT",
            min=1,
            max=LARGEST,
            help="With --family: laws of so many seeds, each from posterior draws of its own. The first one predicts; "
            "how far the others agree with it is shown.",
        ),
    ] = 1
    drop: Annotated[
        list[str],
        typer.Option(metavar="COLUMN", help="A column to leave out; repeat for more."),
    ] = field(default_factory=list)
    keep: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN",
            help="A column to use although it identifies rows; repeat for more.",
        ),
    ] = field(default_factory=list)
    read: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN=KIND",
            help="How to read a column: words, ignore-case (words), numbers, dates, decimal-point, decimal-comma, "
            "day-first or month-first. Without COLUMN=, the answer of all columns that can be read in two "
            "ways. Repeat for more.",
        ),
    ] = field(default_factory=list)
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Rows with the same value of this column, such as the visits of a patient, are held out together, and "
            "left out of folds together: scores and intervals are those of new patients. It is not used as an input.",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoding of a text file, such as cp1251; by default found.",
        ),
    ] = None
    test_size: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of the rows held out for the score."),
    ] = 0.2
    seed: Annotated[
        int,
        typer.Option(
            metavar="INT",
            min=0,
            max=2**32 - 1,
            help="Random seed of the split, the noise and the shuffles.",
        ),
    ] = 0
    solver: Annotated[
        Solver | None,
        typer.Option(
            metavar="NAME",
            help="The training algorithm: mfld, svrg-mfld, underdamped, pda, fictitious-play or psdca. All have the "
            "same optimum; the duals of pda and psdca come closest to it. By default mfld; on curves psdca, up to 64 "
            "inputs.",
        ),
    ] = None
    num_particles: Annotated[
        int | None,
        typer.Option(
            metavar="INT",
            min=2,
            help="Neurons of the network; 500 by default, 1000 on curves.",
        ),
    ] = None
    temperature: Annotated[
        str,
        typer.Option(
            metavar="NUMBER",
            help="Temperature of the noise; auto chooses it by leave-one-out.",
        ),
    ] = "auto"
    validation: Annotated[
        Literal["folds", "path", "none"] | None,
        typer.Option(
            metavar="folds|path|none",
            help="How the temperature is chosen. folds: by small networks trained without a fold of the rows, which "
            "intervals need, too; the default where no temperature is given. path: temperature and output scale, by "
            "whole networks: slower. none: by the closed form alone.",
        ),
    ] = None
    threshold: Annotated[
        str,
        typer.Option(
            metavar="NUMBER",
            help="Of two classes, the probability of the second, in alphabetical or numerical order, from which it is "
            "predicted; balanced chooses it on folds, so that both classes are found equally well. Suits a rare class.",
        ),
    ] = "0.5"
    class_weight: Annotated[
        Literal["balanced"] | None,
        typer.Option(
            metavar="balanced",
            help="Give all classes the same weight in training. Probabilities are then those of a population with "
            "equal classes, which --threshold leaves as they are.",
        ),
    ] = None
    num_steps: Annotated[
        str,
        typer.Option(
            metavar="INT",
            help="Largest number of steps; --stop says what ends training before.",
        ),
    ] = "auto"
    stop: Annotated[
        Literal["plateau", "certified"],
        typer.Option(
            metavar="plateau|certified",
            help="What ends the training: a plateau, or outputs as near to those of a certified optimum as these are "
            "known, for which the optimum is bounded first.",
        ),
    ] = "plateau"
    relative_step_size: Annotated[
        str,
        typer.Option(
            metavar="NUMBER",
            help="Step size in units of the inverse curvature, below 2; auto chooses it.",
        ),
    ] = "auto"
    peers: Annotated[
        bool,
        typer.Option(
            "--peers/--no-peers", help="Fit other methods too, on the same rows."
        ),
    ] = True
    certificate: Annotated[
        bool,
        typer.Option(
            "--certificate/--no-certificate",
            help="Bound the global optimum of the training objective: under a minute for a few hundred rows, longer in "
            "proportion to the rows. With --family, about as long as the fit.",
        ),
    ] = True
    curves: Annotated[
        Literal["wide", "long"] | None,
        typer.Option(
            metavar="KIND",
            help="Learn from curves. wide: a row per curve, with every column but the target a value of it. long: a "
            "row per reading, in the columns --id, --time and --value.",
        ),
    ] = None
    id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help="Long tables: which curve a reading belongs to.",
        ),
    ] = None
    time: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Long tables: the time of a reading."),
    ] = None
    value: Annotated[
        list[str],
        typer.Option(
            metavar="COLUMN",
            help="Long tables: the value read; repeat for more channels.",
        ),
    ] = field(default_factory=list)
    encoder: Annotated[
        Literal["auto", "basis", "convolutions", "signatures", "shapelets"],
        typer.Option(
            metavar="auto|basis|convolutions|signatures|shapelets",
            help="Curves: the inputs of the network. basis: coefficients of smooth waves, in which a place or a level "
            "counts. convolutions: short patterns, wherever they occur. auto: the one of these two of the smaller "
            "leave-one-out error. signatures: the order of events. shapelets: distances from pieces of curves.",
        ),
    ] = "auto"
    derivative: Annotated[
        int,
        typer.Option(
            metavar="0|1|2",
            min=0,
            max=2,
            help="Curves: learn from this derivative; 2 suits spectra.",
        ),
    ] = 0
    modes: Annotated[
        int,
        typer.Option(
            metavar="INT",
            min=1,
            max=LARGEST,
            help="Curves: number of waves that represent a curve, per channel.",
        ),
    ] = 32
    smoothing: Annotated[
        str,
        typer.Option(
            metavar="NUMBER",
            help="Curves: standard deviation of the noise in the values; auto estimates it where curves have times of "
            "their own or are differentiated.",
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.test_size < 1:
            raise BadInput(
                f"--test-size {self.test_size} is not a share of the rows; pass a number such as 0.2."
            )
        _ = self.estimator_parameters, self.class_parameters
        check_family(self, DEFAULTS)
        _check_curve_options(self)

    @property
    def asked(self) -> tuple[Literal["regression", "classification"] | None, str]:
        """The task that the options ask for, and the option that does; None and nothing where the table decides."""
        if self.family is not None:
            return FAMILIES[self.family], f"--family {self.family}"
        return self.task, f"--task {self.task}" if self.task else ""

    @property
    def estimator_parameters(self) -> dict[str, Any]:
        """Parameters of the estimator, without those left to its defaults."""
        noise = "pass the standard deviation of the noise, or auto to estimate it"
        leave_one_out = (
            "pass a number such as 0.01, or auto to choose it by leave-one-out"
        )
        numbers: dict[str, Any] = {
            "solver": self.solver,
            "num_particles": self.num_particles,
            "temperature": _positive(
                "--temperature", self.temperature, float, leave_one_out
            ),
            "relative_step_size": _positive(
                "--relative-step-size",
                self.relative_step_size,
                float,
                "pass a number below 2, or auto",
            ),
            "num_steps": _positive(
                "--num-steps",
                self.num_steps,
                int,
                "pass a number such as 1000, or auto",
            ),
        }
        smoothing = _positive("--smoothing", self.smoothing, float, noise) or "auto"
        curves = {
            "encoder": self.encoder,
            "num_modes": self.modes,
            "derivative": self.derivative,
            "smoothing": smoothing,
        }
        return {
            **{name: value for name, value in numbers.items() if value is not None},
            **(curves if self.curves else {}),
            **(
                {}
                if self.validation is None
                else {"validation": self.validation.replace("none", "") or None}
            ),
            **({} if self.stop == "plateau" else {"stop": self.stop}),
            "random_state": self.seed,
        }

    @property
    def class_parameters(self) -> dict[str, Any]:
        """Parameters of a classifier of tables, without those left to its defaults."""
        for name in ("threshold", "class_weight"):
            if self.curves and getattr(self, name) != DEFAULTS[name]:
                raise BadInput(
                    f"--{name.replace('_', '-')} is for tables of columns; leave it out with --curves."
                )
        weight = (
            {} if self.class_weight is None else {"class_weight": self.class_weight}
        )
        if self.threshold == "balanced":
            if self.validation == "none" or (
                self.validation is None and self.temperature != "auto"
            ):
                raise BadInput(
                    "--threshold balanced is chosen on folds; pass --validation folds too."
                )
            return weight | {"threshold": "balanced"}
        threshold = _positive(
            "--threshold",
            self.threshold,
            float,
            "pass a probability such as 0.2, or balanced",
        )
        if threshold is None or threshold >= 1:
            raise BadInput(
                f"--threshold {self.threshold!r} is not a probability; pass a number such as 0.2, or balanced."
            )
        return weight | ({} if threshold == 0.5 else {"threshold": float(threshold)})

    @property
    def settings(self) -> dict[str, Any]:
        """The options as plain values, without the file names and the target."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in ("table", "target", "out")
        }

    def command(self, *more: str) -> str:
        """Return the command line, with the options that are not at their defaults."""
        words = [
            "langevax",
            "fit",
            str(self.table),
            "--target",
            self.target,
            "--out",
            str(self.out),
        ]
        for name, value in self.settings.items():
            option = "--" + name.replace("_", "-")
            if value == DEFAULTS[name]:
                continue
            if isinstance(value, bool):
                words.append(option if value else option.replace("--", "--no-"))
            else:
                words += [
                    w
                    for one in (value if isinstance(value, list) else [value])
                    for w in (option, str(one))
                ]
        return shlex.join([*words, *more])


DEFAULTS = defaults_of(FitOptions)


def _positive(
    option: str, text: str, kind: type[int] | type[float], remedy: str
) -> int | float | None:
    """Return a positive number, or None for auto."""
    if text == "auto":
        return None
    try:
        value = kind(text)
    except ValueError:
        value = float("nan")
    if 0 < value < (LARGEST + 1 if kind is int else float("inf")):
        return value
    noun = (
        f"positive whole number up to {LARGEST}" if kind is int else "positive number"
    )
    raise BadInput(f"{option} {text!r} is not a {noun}; {remedy}.")


def _check_curve_options(options: FitOptions) -> None:
    """Raise `BadInput` where an option does not apply to the kind of table."""
    columns = {"--id": options.id, "--time": options.time, "--value": options.value}
    present = [option for option, value in columns.items() if value]
    encoding = [
        f"--{name}"
        for name in CURVE_OPTIONS
        if getattr(options, name) != DEFAULTS[name]
    ]
    if options.curves is None and (present or encoding):
        raise BadInput(
            f"{[*present, *encoding][0]} is for tables of curves; pass --curves wide or --curves long too."
        )
    if options.curves == "wide" and present:
        raise BadInput(
            f"{present[0]} is for --curves long, a row per reading; with --curves wide columns are times."
        )
    if options.curves != "long":
        return
    if missing := [option for option in columns if option not in present]:
        raise BadInput(
            f"--curves long needs {listing(missing)} too: the columns of a reading.".replace(
                "'", ""
            )
        )
    for option, names in (("--drop", options.drop), ("--keep", options.keep)):
        if names:
            raise BadInput(
                f"{option} {names[0]!r}: --curves long reads only the columns named in its options."
            )
    named = [
        ("--target", options.target),
        ("--id", options.id),
        ("--time", options.time),
    ]
    named += [("--value", name) for name in options.value]
    for i, (option, name) in enumerate(named):
        for other, earlier in named[:i]:
            if name == earlier:
                raise BadInput(
                    f"{option} {name!r} is already the column of {other}; name another."
                )


@with_fields(FitOptions)
def fit(
    options: FitOptions,
    *,
    coordinator: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Train with several processes, on one machine or many: the address of process 0, the same in all.",
        ),
    ] = None,
    num_processes: Annotated[
        int | None, typer.Option(metavar="INT", min=1, help="Number of processes.")
    ] = None,
    process_id: Annotated[
        int | None,
        typer.Option(
            metavar="INT",
            min=0,
            help="Index of this process; 0 reads, writes and prints.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON and nothing else.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the interrupted run in DIR, with the other options unchanged.",
        ),
    ] = False,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway",
            help="With --resume: continue although langevax, JAX or Python has another version.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace the model in DIR, or start an interrupted run again.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Read the table, print how it is read and split, and stop: nothing is written.",
        ),
    ] = False,
) -> None:
    if dry_run:
        for option, passed in (
            ("--resume", resume),
            ("--coordinator", coordinator is not None),
        ):
            if passed:
                raise BadInput(
                    f"--dry-run only reads the table, and {option} is for training; leave one of them out."
                )
        from langevax.app.fitting.run import read_only

        read_only(options, machine=json)
        return
    if anyway and not resume:
        raise BadInput(
            "--anyway says how --resume continues a run; pass both, or leave it out."
        )
    if options.family is not None:
        of_networks = {
            "--coordinator": coordinator,
            "--num-processes": num_processes,
            "--process-id": process_id,
        }
        for option, value in of_networks.items():
            if value is not None:
                raise BadInput(
                    f"{option} {value} is for networks, and --family {options.family} fits none."
                )
        if resume:
            raise BadInput(
                f"--resume continues the training of a network; a fit with --family {options.family} saves nothing on "
                "its way: leave it out, or pass --force to start again."
            )
    group = process_group(coordinator, num_processes, process_id)
    from langevax.app.fitting.run import follow, run

    if group is None:
        run(options, machine=json, resume=resume, force=force, anyway=anyway)
        return
    with group.joined(), exit_codes():
        if group.first:
            run(
                options,
                machine=json,
                resume=resume,
                force=force,
                anyway=anyway,
                group=group,
            )
        else:
            follow(options, resume, anyway, group)
