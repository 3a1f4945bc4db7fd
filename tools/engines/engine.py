"""A SuperLink of its own with a private folder, the clients of Flower's two engines, and runs of apps."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import tomli_w
from flwr.common.config import flatten_dict

from langevax import checks
from tools.engines.processes import (
    LOOPBACK_ADDRESS,
    EngineError,
    ProcessFamily,
    Program,
    free_port,
    is_listening,
)

CONNECTION = "langevax"
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray then listens on the loopback interface only, on Linux, too
    "SPT_NOENV": "1",  # Ray's workers change their titles, which would erase the environment they are found by
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",  # seconds, not 1; 0.05 takes twice the processor time
    "PYTHONUNBUFFERED": "1",  # logs as they are written
}
MAX_SOCKET_FOLDER = (
    32  # letters of a folder that Ray's sockets, of 107 letters at most, fit in
)


class RunOutcome(NamedTuple):
    """Outcome of a run: its status, duration and log.

    Attributes:
        status: "finished"; "failed", with the reason in `details`; "stopped", by `stop`; "timed out"; or "lost", if
            the SuperLink ended.
        seconds: from the request to the end.
        log: output of the server app, until the engine's folder is removed.
    """

    run_id: str
    status: str
    details: str
    seconds: float
    log: Path

    @property
    def finished(self) -> bool:
        return self.status == "finished"


class AppRun:
    """A run in progress."""

    def __init__(
        self,
        stream: Program,
        server: Program,
        flwr: Callable[..., str],
        patience: float,
    ):
        self._stream = stream
        self._server = server
        self._flwr = flwr
        self._patience = patience
        self._began = time.monotonic()
        self._printed = 0

    def run_id(self) -> str:
        """The SuperLink's number of the run; waits until there is one, or raises the reason why the app is refused."""
        said = re.compile(r"Successfully started run (\d+)")
        started = self._stream.wait_for(
            lambda: said.search(self._stream.text()), self._patience, "accepted"
        )
        return started.group(1)

    def lines(self) -> list[str]:
        """Complete lines of the server app's output so far, after Flower's own."""
        _, _, text = self._stream.text().partition("Starting logstream for run_id")
        return text.rpartition("\n")[0].splitlines()[1:]

    def wait(
        self, timeout: float | None = None, on_line: Callable[[str], Any] | None = None
    ) -> RunOutcome:
        """Wait until the run has ended, or stop it `timeout` seconds after its start; see `Engine.run`."""
        run_id = self.run_id()
        status = ""
        details = ""
        while not status:
            ended = self._stream.exit_code is not None
            lost = self._server.exit_code is not None
            if on_line is not None:
                lines = self.lines()
                for line in lines[self._printed :]:
                    on_line(line)
                self._printed = len(lines)
            if lost:
                status = "lost"
                details = f"the SuperLink ended with exit code {self._server.exit_code}"
            elif ended:
                status, details = self._status(run_id)
            elif timeout is not None and time.monotonic() - self._began > timeout:
                self.stop()
                status = "timed out"
                details = f"stopped after {timeout:g} seconds"
            else:
                time.sleep(0.1)
        return RunOutcome(
            run_id, status, details, time.monotonic() - self._began, self._stream.log
        )

    def stop(self) -> None:
        """Ask the SuperLink to stop it."""
        self._flwr("stop", self.run_id(), CONNECTION)

    def _status(self, run_id: str, seconds: float = 30.0) -> tuple[str, str]:
        """Status and details; the log may end a moment before the run does."""
        until = time.monotonic() + seconds
        while True:
            [entry] = json.loads(
                self._flwr("ls", CONNECTION, "--run-id", run_id, "--format", "json")
            )["runs"]
            status, _, kind = entry["status"].partition(":")
            if status == "finished":
                details = (
                    "" if entry["status-details"] == "N/A" else entry["status-details"]
                )
                return "finished" if kind == "completed" else kind, details
            if time.monotonic() > until:
                return "lost", f"the log ended and the run is {entry['status']}"


class Engine:
    """A SuperLink with its folder, and what runs on it.

    Args:
        server_options: of `flower-superlink`, beside its address.
        run_options: of `flwr run`, beside the app and its settings.
        logs: folder for the logs; None: they are removed with the engine.
        patience: seconds that a program may take until it is ready, and a run until it is accepted.
    """

    def __init__(
        self,
        server_options: Sequence[str],
        run_options: Sequence[str] = (),
        *,
        logs: str | Path | None = None,
        patience: float = 120.0,
    ):
        checks.number("patience", patience, positive=True)
        self.patience = patience
        self.home: Path = Path()
        self.logs: Path
        self.address: str
        self.server: Program
        self._server_options = server_options
        self._run_options = run_options
        self._logs = None if logs is None else Path(logs).absolute()
        self._family: ProcessFamily | None = None

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="langevax-"))
        self.logs = self._logs or self.home / "logs"
        self._family = ProcessFamily(self.home)
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            port = free_port()
            self.address = f"{LOOPBACK_ADDRESS}:{port}"
            connection = tomli_w.dumps({"address": self.address, "insecure": True})
            (self.home / "config.toml").write_text(
                f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n{connection}',
                encoding="utf-8",
            )
            command = [find_program("flower-superlink"), "--insecure"]
            command += ["--disable-runtime-dependency-installation"]
            command += [
                "--host",
                LOOPBACK_ADDRESS,
                "--port",
                str(port),
                *self._server_options,
            ]
            self.server = self.start_program("The SuperLink", command, "superlink.log")
            self.server.wait_for(lambda: is_listening(port), self.patience, "ready")
            self.start_clients()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._family is not None:
            self._family.end()

    @property
    def family(self) -> ProcessFamily:
        """All processes of the engine."""
        if self._family is None:
            raise RuntimeError("the engine is not started; use it in a `with` block.")
        return self._family

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all programs of the engine."""
        own = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("FLWR_")
        }
        path = os.pathsep.join(
            [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
        )
        private = {"FLWR_HOME": str(self.home), "PATH": path}
        if len(str(self.home)) <= MAX_SOCKET_FOLDER:
            private["RAY_TMPDIR"] = str(self.home)
        return own | ENVIRONMENT | private

    def run(
        self,
        app: str | Path,
        settings: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        on_line: Callable[[str], Any] | None = None,
    ) -> RunOutcome:
        """Run an app and wait for its end.

        `app` is the folder with pyproject.toml, `settings` change its [tool.flwr.app.config], `timeout` is in seconds,
        and `on_line` is called with each line that the server app prints. An app or a setting that is not there is a
        ValueError, an app that the SuperLink does not accept an EngineError.
        """
        return self.launch(app, settings).wait(timeout, on_line)

    def launch(
        self, app: str | Path, settings: Mapping[str, Any] | None = None
    ) -> AppRun:
        """Start a run without waiting for it."""
        known = app_config(app)
        for key in settings or {}:
            if key not in known:
                raise ValueError(
                    f"{key!r} is not a setting of {str(app)!r}; its pyproject.toml has {sorted(known)}."
                )
        name = f"run-{1 + sum(path.name.startswith('run-') for path in self.logs.iterdir())}"
        command = [
            "run",
            str(Path(app).absolute()),
            CONNECTION,
            "--stream",
            *self._run_options,
        ]
        if settings:
            config = self.home / f"{name}.toml"
            config.write_text(tomli_w.dumps(settings), encoding="utf-8")
            command += ["--run-config", str(config)]
        stream = self.start_program(
            "flwr run", [find_program("flwr"), *command], f"{name}.log"
        )
        return AppRun(stream, self.server, self.flwr, self.patience)

    def flwr(self, *arguments: str) -> str:
        """The output of the command `flwr` on this engine, as in `engine.flwr("supernode", "ls", "langevax")`."""
        self.family  # noqa: B018 raises where the engine is not started
        command = [find_program("flwr"), *arguments]
        try:
            done = subprocess.run(
                command,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=self.patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"flwr {arguments[0]} took longer than {self.patience:g} seconds."
            ) from error
        if done.returncode != 0 or '"success": false' in done.stdout:
            raise EngineError(
                f"flwr {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def start_clients(self) -> None:
        """Start the clients that exist before a run; none, unless an engine has some."""

    def start_program(self, name: str, command: Sequence[str], log: str) -> Program:
        return self.family.start(name, command, self.environment, self.logs / log)


class Simulation(Engine):
    """Virtual clients: Ray runs those that have work, on a given number of processors.

    Args:
        num_clients: P.
        cpus: processors, one for each client that works; "auto" takes those of this machine.
        options: of `Engine`.

    Example (a Flower app in the folder "myapp"):

        with Simulation(num_clients=4) as engine:
            assert engine.run("myapp", {"rounds": 3}).finished
    """

    def __init__(
        self, num_clients: int, *, cpus: int | Literal["auto"] = "auto", **options: Any
    ):
        checks.positive_int("num_clients", num_clients)
        number = os.cpu_count() or 1 if cpus == "auto" else cpus
        checks.positive_int("cpus", number)
        federation = f"num-supernodes={num_clients} client-resources-num-cpus=1 init-args-num-cpus={number}"
        run_options = ["--federation-config", federation]
        super().__init__(["--simulation"], run_options, **options)


class Deployment(Engine):
    """A SuperLink and, for each client, a SuperNode with partition-id = i and num-partitions = P.

    They talk over the loopback interface without encryption; for several machines start Flower's own programs.

    Args:
        num_clients: P.
        options: of `Engine`.

    Example (a Flower app in the folder "myapp"):

        with Deployment(num_clients=2) as engine:
            assert engine.run("myapp", {"rounds": 3}).finished
    """

    def __init__(self, num_clients: int, **options: Any):
        checks.positive_int("num_clients", num_clients)
        self.num_clients = num_clients
        self.nodes: dict[int, Program] = {}
        super().__init__((), **options)

    def start_clients(self) -> None:
        self.nodes = {i: self.start_node(i) for i in range(self.num_clients)}
        for node in self.nodes.values():
            self.wait_for_node(node)

    def __exit__(self, *_: object) -> None:
        """Kill the SuperNodes first: by themselves they take seconds to end, and retry without a SuperLink."""
        for node in self.nodes.values():
            self.family.kill(node)
        super().__exit__()

    def start_node(self, client: int) -> Program:
        """Start the SuperNode of one client."""
        command = [find_program("flower-supernode"), "--insecure"]
        command += ["--superlink", self.address]
        command += ["--host", LOOPBACK_ADDRESS, "--port", str(free_port())]
        config = f"partition-id={client} num-partitions={self.num_clients}"
        command += ["--node-config", config]
        return self.start_program(f"SuperNode {client}", command, f"node-{client}.log")

    def wait_for_node(self, node: Program) -> str:
        """Return the node id of a SuperNode once the SuperLink accepts it; end one that is not accepted in time."""
        said = re.compile(r"SuperNode ID: (\d+)")
        try:
            accepted = node.wait_for(
                lambda: said.search(node.text()),
                self.patience,
                "accepted by the SuperLink",
            )
        except EngineError:
            self.family.kill(node)  # its children would outlive it for minutes
            raise
        return accepted.group(1)


def app_config(app: str | Path) -> dict[str, Any]:
    """[tool.flwr.app.config] of an app: the settings of a run, with their defaults; nested keys joined by points.

    Raises:
        ValueError: no pyproject.toml there, or one that does not describe a Flower app.
    """
    path = Path(app) / "pyproject.toml"
    if not path.is_file():
        raise ValueError(
            f"app is {str(app)!r}, and there is no {str(path)!r}; name the folder of a Flower app."
        )
    try:
        described = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["flwr"][
            "app"
        ]
    except (KeyError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(path)!r} does not describe a Flower app ([tool.flwr.app]): {error!r}."
        ) from error
    return flatten_dict(described.get("config"))


def find_program(name: str) -> str:
    """The path of one of Flower's programs; raise `EngineError` where it is not installed."""
    path = shutil.which(
        name,
        path=os.pathsep.join(
            [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
        ),
    )
    if path is None:
        raise EngineError(
            f"the program {name!r} is not installed; pip install 'langevax[flower]'."
        )
    return path
