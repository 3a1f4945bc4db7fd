"""`langevax fit`: its options, and what its help teaches."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from langevax.cli.errors import exit_codes
from langevax.cli.fitting.party import party
from langevax.cli.fitting.request import Request, Solver

HELP = """Fit a network to a table, compare it with other methods on rows held out, and certify it.

\b
Examples:
  langevax fit wine.csv --target quality --out wine
  langevax fit adult.csv.gz --target income --out adult --drop fnlwgt
  langevax fit sales.parquet --target revenue --out sales --num-steps 5000
  langevax fit wine.csv --target quality --out wine --resume
  langevax fit spectra.csv --target fat --curves wide --derivative 2 --out fat
  langevax fit readings.csv --target fault --curves long --id machine --time t --value temperature --out fault

TABLE is CSV, TSV (also gzipped) or Parquet, with a header. Columns of numbers, dates and words are
recognised. Empty cells, NA, NaN, None, null and ? are missing values: a missing number is replaced by the
median and marked, a missing word is a category of its own. Columns that name or number the rows are left out.
Every such decision is said.

With --curves wide, columns named by numbers are read at these times (wavelengths, hours), others at even steps
from 0 to 1, and missing cells are interpolated. With --curves long, times may differ between curves, be few, and be
dates; the target is one for each id. Other methods are given the same coefficients of the curves.

Several processes, one on each machine or core, share the neurons: start the same command in each, with DIR on a disk
that all see, and --coordinator, --num-processes and --process-id. The numbers are those of one process.

DIR then holds report.html (open it in a browser), model.safetensors, schema.json, result.json and holdout.csv, the
predictions for the rows held out.

Exit codes: 0 done, 1 the run failed, 2 bad usage or bad input, 130 interrupted.
"""


def fit(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="What to learn from, one row per example.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for model and report; made if need be.")],
    task: Annotated[
        Literal["regression", "classification"] | None,
        typer.Option(
            metavar="TASK",
            help="regression or classification. By default words, true/false and few distinct integers are classes, "
            "other numbers are not.",
            show_default=False,
        ),
    ] = Request.task,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out; repeat for more.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column to use although it names the rows; repeat for more."),
    ] = None,
    test_size: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the rows held out to score on.")
    ] = Request.test_size,
    seed: Annotated[
        int, typer.Option(metavar="INT", min=0, help="Of everything random: the split, the noise, the shuffles.")
    ] = Request.seed,
    solver: Annotated[
        Solver | None,
        typer.Option(
            metavar="NAME",
            help="What trains it, towards the same optimum: mfld, svrg-mfld, underdamped, pda, fictitious-play or "
            "psdca. pda and psdca come nearest to it before the certificate's polish. By default mfld; on curves "
            "psdca.",
            show_default=False,
        ),
    ] = Request.solver,
    num_particles: Annotated[
        int | None,
        typer.Option(
            metavar="INT",
            min=2,
            help="Neurons of the network; 500 by default, on curves 1000.",
            show_default=False,
        ),
    ] = Request.num_particles,
    temperature: Annotated[
        str, typer.Option(metavar="NUMBER", help="Of the noise; auto chooses it by leave-one-out.")
    ] = Request.temperature,
    validation: Annotated[
        Literal["path"] | None,
        typer.Option(
            metavar="path",
            help="path has temperature and output scale chosen by cross-validation, from hot to cold: slower, "
            "and often better. By default it is taken as it is.",
            show_default=False,
        ),
    ] = Request.validation,
    num_steps: Annotated[
        str, typer.Option(metavar="INT", help="At most so many steps; training ends once nothing drifts any more.")
    ] = Request.num_steps,
    peers: Annotated[
        bool, typer.Option("--peers/--no-peers", help="Fit other methods too, on the same rows.")
    ] = Request.peers,
    certificate: Annotated[
        bool,
        typer.Option(
            "--certificate/--no-certificate",
            help="Measure how far the network is from the global optimum: under a minute for a few hundred rows, "
            "longer in proportion to the rows.",
        ),
    ] = Request.certificate,
    curves: Annotated[
        Literal["wide", "long"] | None,
        typer.Option(
            metavar="KIND",
            help="Learn from curves. wide: a row a curve, every column but the target a value of it. long: a row a "
            "reading, in columns named by --id, --time and --value.",
            show_default=False,
        ),
    ] = Request.curves,
    id: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Long tables: which curve a reading is of.")
    ] = Request.id,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help="Long tables: when it was taken.")] = Request.time,
    value: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Long tables: what was read; repeat for more channels.")
    ] = None,
    derivative: Annotated[
        int,
        typer.Option(metavar="0|1|2", min=0, max=2, help="Curves: learn from this derivative; spectra want 2."),
    ] = Request.derivative,
    modes: Annotated[
        int, typer.Option(metavar="INT", min=1, help="Curves: waves that a curve is made of, of each channel.")
    ] = Request.modes,
    smoothing: Annotated[
        str,
        typer.Option(
            metavar="NUMBER",
            help="Curves: standard deviation of the noise in the values; auto has it learned where curves have times "
            "of their own or are differentiated.",
        ),
    ] = Request.smoothing,
    coordinator: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Train with several processes, on one machine or many: the address of process 0, the same in all.",
            show_default=False,
        ),
    ] = None,
    num_processes: Annotated[
        int | None, typer.Option(metavar="INT", min=1, help="How many processes there are.", show_default=False)
    ] = None,
    process_id: Annotated[
        int | None,
        typer.Option(
            metavar="INT", min=0, help="Which of them this is; 0 reads, writes and speaks.", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in DIR; the other options as before.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the model in DIR, or start an interrupted run anew.")
    ] = False,
) -> None:
    with exit_codes():
        request = Request(
            table=table,
            target=target,
            out=out,
            task=task,
            drop=tuple(drop or ()),
            keep=tuple(keep or ()),
            test_size=test_size,
            seed=seed,
            solver=solver,
            num_particles=num_particles,
            temperature=temperature,
            validation=validation,
            num_steps=num_steps,
            peers=peers,
            certificate=certificate,
            curves=curves,
            id=id,
            time=time,
            value=tuple(value or ()),
            derivative=derivative,
            modes=modes,
            smoothing=smoothing,
        )
        together = party(coordinator, num_processes, process_id)
        from langevax.cli.fitting.run import follow, run

        if together is None:
            run(request, machine=json, resume=resume, force=force)
            return
        with together.joined(), exit_codes():
            if together.first:
                run(request, machine=json, resume=resume, force=force, together=together)
            else:
                follow(request, resume, together)
