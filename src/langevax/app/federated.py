"""`langevax federated`: simulate one method on a table split over clients; write and run Flower apps."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from langevax.app.errors import exit_codes
from langevax.app.options import LARGEST, local_path, with_fields
from langevax.app.output import Output

HELP = """Train one model with many clients that keep their rows, and count what they exchange.

\b
Examples:
  langevax federated simulate --method fledge --data digits
  langevax federated simulate --method fedavg --partition dirichlet:0.3 --clients 50 --per-round 10
  langevax federated simulate --method bvr-l-sgd --partition concentration:0.6 --rounds 100 --out bvr
  langevax federated simulate --data adult.csv --target income --clients 100 --partition shards:2 --method auto
  langevax federated simulate --method fledge --per-round 5 --dropout 0.2 --json > fledge.json

\b
--method     minibatch-sgd, fedavg, fedprox, fednova      descend on clients' gradients
             feddyn, scaffold, scaffold-m, mimesgd        correct them for what differs between clients
             minibatch-sarah, bvr-l-sgd, bvr-l-psgd       track them by differences, all clients each round
             fledge                                       the same with few clients a round, and a table
             auto                                         the one that suits the clients, by four probing rounds
--partition  even                 rows at random, in equal parts
             concentration:Q      a fraction Q of each class goes to one client
             dirichlet:ALPHA      class shares drawn from Dirichlet(ALPHA): the smaller, the more skewed
             shards:N             N pieces of the rows sorted by class for each client
--data       digits, wine or breast_cancer, of scikit-learn; or CSV, TSV or Parquet, as `langevax fit` reads it, with
             --target for the column of classes; a fifth of the rows is held out

With --server-optimizer, fedavg is FedAvgM (momentum), FedAdam (adam), FedYogi (yogi) or FedAdagrad (adagrad);
fedprox, fednova and scaffold take it too. A round is one exchange with clients (a trip there and back) or two.
Methods without local steps take K b rows at once, fednova one pass over a client's rows. With --method auto the
probing rounds are rounds of fedavg and count as exchanges; --step-size is fedavg's, that of the method in proportion.
DIR then holds result.json, history.csv, figure.svg and figure.png. Until then DIR/training/history.csv
grows with the rounds. The same seed gives the same run.

Exit codes: 0 done; 1 the run failed (it diverged or collapsed), 2 bad usage or bad input, 130 interrupted.
"""

RUN_HELP = """Run a Flower app on this machine: start Flower's engine, run the app, and stop the engine.

\b
Examples:
  langevax federated run myapp --engine simulation --clients 4
  langevax federated run myapp --engine deployment --clients 2 --set rounds=20 --set step-size=0.1
  langevax federated run myapp --engine deployment --clients 2 --tls
  langevax federated run myapp --engine simulation --clients 50 --timeout 600 --out run --json > run.json

\b
--engine  simulation   virtual clients, run by Ray on the processors of this machine
          deployment   a SuperLink, and for each client a SuperNode, all on the loopback interface; each message
                       takes seconds, as it does between machines

APP is the folder with pyproject.toml; `langevax federated app` writes one. Its [tool.flwr.app.config] lists what --set
can change. If the app has the keys, `out` is set to DIR and `num-clients` to --clients. Nothing is installed, no
telemetry is sent, and ~/.flwr is not used. All processes end with the command, also on Ctrl-C.

DIR then holds the files of the server app (result.json, history.csv and model.safetensors of a langevax app) and the
log of each process in logs/.

Exit codes: 0 done; 1 the run failed or took too long, 2 bad usage or bad input, 130 interrupted.
"""

APP_HELP = """Write a Flower app: three small files, a pyproject.toml and a README, ready for `flwr run`.

\b
Examples:
  langevax federated app myapp
  langevax federated app myapp --framework torch --method fedavg
  langevax federated app myapp --task mypackage.federated:task
  langevax federated run myapp --engine simulation --clients 4

By default the app learns handwritten digits by softmax regression, with the gradient written in JAX, PyTorch or NumPy;
task.py is the file to edit. With --task the app imports a `langevax.flower.Task` from your own package instead, which
must be installed on the server and on every client.

\b
--method  minibatch-sgd, fedavg, fedprox, fednova, feddyn, scaffold, scaffold-m, mimesgd, minibatch-sarah, bvr-l-sgd,
          bvr-l-psgd or fledge

Exit codes: 0 done, 2 bad usage or bad input.
"""

GROUP_HELP = """Federated optimisation: a server, and clients that keep their rows.

\b
  langevax federated simulate --method fledge --data digits --partition concentration:0.6

\b
Between processes and machines, on Flower (pip install 'langevax[flower]'):
  langevax federated app myapp
  langevax federated run myapp --engine simulation --clients 4
"""

Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON and nothing else.")
]
app: typer.Typer = typer.Typer(
    help=GROUP_HELP, no_args_is_help=True, rich_markup_mode=None
)


@dataclass(frozen=True)
class SimulationOptions:
    """The options of `langevax federated simulate`; steps and rows as in `langevax.federated.defaults`."""

    method: Annotated[
        str, typer.Option(metavar="NAME", help="Method, one of those above.")
    ] = "fledge"
    data: Annotated[
        str, typer.Option(metavar="TABLE", help="Table: one of those above, or a file.")
    ] = "digits"
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of classes, for a file."),
    ] = None
    partition: Annotated[
        str, typer.Option(metavar="SPLIT", help="How rows are split over clients.")
    ] = "concentration:0.6"
    clients: Annotated[
        int,
        typer.Option(metavar="INT", min=1, max=LARGEST, help="Number of clients, P."),
    ] = 20
    per_round: Annotated[
        int | None,
        typer.Option(
            metavar="INT",
            min=1,
            max=LARGEST,
            help="Clients per round, p; by default sqrt(P) for fledge, otherwise all.",
        ),
    ] = None
    rounds: Annotated[
        int, typer.Option(metavar="INT", min=1, max=LARGEST, help="Number of rounds.")
    ] = 200
    num_local_steps: Annotated[
        int,
        typer.Option(
            metavar="INT",
            min=1,
            max=LARGEST,
            help="Local steps of a client per round, K.",
        ),
    ] = 16
    batch_size: Annotated[
        int,
        typer.Option(metavar="INT", min=1, max=LARGEST, help="Rows per local step, b."),
    ] = 4
    step_size: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Step size; by default that of the method, tuned on digits.",
        ),
    ] = None
    hidden: Annotated[
        int,
        typer.Option(
            metavar="INT",
            min=0,
            max=LARGEST,
            help="Neurons of the network; 0 is softmax regression.",
        ),
    ] = 16
    dropout: Annotated[
        float,
        typer.Option(
            metavar="NUMBER", help="Probability that a client does not answer."
        ),
    ] = 0.0
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="DIR",
            help="Output folder; by default out/federated/METHOD.",
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            metavar="INT",
            min=0,
            max=2**32 - 1,
            help="Random seed of the split, the method and the drop-outs.",
        ),
    ] = 0
    server_optimizer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Optimizer of the server: none, momentum, adam, yogi or adagrad.",
        ),
    ] = "none"
    server_step_size: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Step size of the server; by default that of the optimizer, 1 for none.",
        ),
    ] = None

    @property
    def folder(self) -> Path:
        """The folder of the results."""
        return Path("out/federated") / self.method if self.out is None else self.out


@dataclass(frozen=True)
class RunOptions:
    """The options of `langevax federated run`."""

    app: Annotated[
        Path,
        typer.Argument(
            parser=local_path,
            metavar="APP",
            help="The app's folder.",
            show_default=False,
        ),
    ]
    engine: Annotated[
        Literal["simulation", "deployment"],
        typer.Option(metavar="NAME", help="simulation or deployment."),
    ] = "simulation"
    clients: Annotated[
        int,
        typer.Option(metavar="INT", min=1, max=LARGEST, help="Number of clients, P."),
    ] = 4
    settings: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting; may be repeated."
        ),
    ] = field(default_factory=list)
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="DIR",
            help="Output folder; by default out/federated/APP.",
        ),
    ] = None
    tls: Annotated[
        bool,
        typer.Option(
            "--tls",
            help="For a deployment: new certificates and registered keys, for this run.",
        ),
    ] = False
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Stop a run that takes longer; by default there is no limit.",
        ),
    ] = None


@app.command(
    "simulate", help=HELP, short_help="Run one method on one split of a table."
)
@with_fields(SimulationOptions)
def simulate(
    options: SimulationOptions,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the run in DIR.")
    ] = False,
    json: Json = False,
) -> None:
    from langevax.app.federating.simulate import run

    run(Output(machine=json), options, force)


@app.command("run", help=RUN_HELP, short_help="Run an app on one of Flower's engines.")
@with_fields(RunOptions)
def run_app(options: RunOptions, *, json: Json = False) -> None:
    from langevax.app.federating.apps import run

    run(Output(machine=json), options)


@app.command("app", help=APP_HELP, short_help="Write an app for Flower.")
def write_app(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=local_path,
            metavar="DIR",
            help="The app's folder, which names the app.",
        ),
    ],
    framework: Annotated[
        Literal["jax", "torch", "numpy"],
        typer.Option(
            metavar="NAME", help="Framework of the gradient: jax, torch or numpy."
        ),
    ] = "jax",
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The method; by default fledge.", show_default=False
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", help="Your own task instead of the example."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite existing files.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the files as JSON and nothing else.")
    ] = False,
) -> None:
    with exit_codes():
        from langevax.app.federating.apps import write

        write(Output(machine=json), folder, framework, method, task, force)
