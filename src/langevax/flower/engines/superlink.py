"""What both engines share: a SuperLink of their own with a private folder, and runs on it."""

import os
import shutil
import sysconfig
import tempfile
import time
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from langevax import checks
from langevax.flower.engines.processes import EngineError, Family, Member, answers, free_port
from langevax.flower.engines.run import Run, RunOutcome, as_toml

CONNECTION = "langevax"
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray then listens on the loopback interface only, on Linux, too
    "SPT_NOENV": "1",  # Ray's workers change their titles, which would erase the environment they are found by
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",  # of a second, not 1; 0.05 takes twice the processor time
    "PYTHONUNBUFFERED": "1",  # logs as they are written
}
LOOPBACK = "127.0.0.1"
LONGEST_FOR_SOCKETS = 32  # letters of a folder that Ray's sockets, of 107 letters at most, can be put in


class Engine(ABC):
    """A SuperLink with its folder, and what runs on it.

    Args:
        host: the address of this machine on which the SuperLink listens.
        logs: the folder that logs are kept in; None: they go with the engine.
        patience: seconds that a program may take until it is ready.
    """

    def __init__(self, *, host: str = LOOPBACK, logs: str | Path | None = None, patience: float = 120.0):
        checks.number("patience", patience, positive=True)
        self.host, self.patience = host, patience
        self._wanted_logs = None if logs is None else Path(logs).absolute()
        self.home = Path()
        self._family: Family | None = None

    @property
    @abstractmethod
    def _server_words(self) -> Sequence[str]:
        """Of `flower-superlink`, beside its address."""

    @property
    @abstractmethod
    def _connection(self) -> Mapping[str, Any]:
        """How the command `flwr` reaches the SuperLink, beside its address."""

    @property
    @abstractmethod
    def _run_words(self) -> Sequence[str]:
        """Of `flwr run`, beside the app and its settings."""

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="langevax-"))
        self.logs = self._wanted_logs or self.home / "logs"
        self._family = Family(self.home)
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.port = free_port(self.host)
            self.address = f"{LOOPBACK if self.host == '0.0.0.0' else self.host}:{self.port}"
            connection = as_toml({"address": self.address, **self._connection})
            (self.home / "config.toml").write_text(
                f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n{connection}', encoding="utf-8"
            )
            self._server = self._start_server()
            self._start_clients()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._family is not None:
            self._family.end()

    @property
    def family(self) -> Family:
        """All processes of the engine."""
        if self._family is None:
            raise RuntimeError("the engine is not started; use it in a `with` block.")
        return self._family

    @property
    def environment(self) -> dict[str, str]:
        """Of all programs of the engine: this process's own, and what keeps them private and quiet."""
        scripts = Path(sysconfig.get_path("scripts"))
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FLWR_")}
        mine = {"FLWR_HOME": str(self.home), "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", "")])}
        if len(str(self.home)) <= LONGEST_FOR_SOCKETS:
            mine["RAY_TMPDIR"] = str(self.home)
        return kept | QUIET | mine

    def run(
        self,
        app: str | Path,
        settings: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        on_line: Callable[[str], Any] | None = None,
    ) -> RunOutcome:
        """Run an app and wait for its end.

        Args:
            app: the folder with its pyproject.toml.
            settings: what to change in [tool.flwr.app.config], by its keys.
            timeout: seconds after which the run is stopped; None: never.
            on_line: called with each line that the server app prints.

        Raises:
            ValueError: no app there; a setting that the app does not have.
            EngineError: the SuperLink did not take the app.
        """
        return self.launch(app, settings).wait(timeout, on_line)

    def launch(self, app: str | Path, settings: Mapping[str, Any] | None = None) -> Run:
        """The same without waiting: `.wait`, `.stop`, `.lines` of what comes back follow the run."""
        known = settings_of(app)
        for key in settings or {}:
            if key not in known:
                raise ValueError(f"{key!r} is no setting of {str(app)!r}; its pyproject.toml has {sorted(known)}.")
        number = 1 + sum(path.name.startswith("run-") for path in self.logs.iterdir())
        words = ["run", str(Path(app).absolute()), CONNECTION, "--stream", *self._run_words]
        if settings:
            chosen = self.home / f"run-{number}.toml"
            chosen.write_text(as_toml(settings), encoding="utf-8")
            words += ["--run-config", str(chosen)]
        stream = self._start("flwr run", [program("flwr"), *words], f"run-{number}.log")
        return Run(stream, self._server, self.flwr, CONNECTION)

    def flwr(self, *words: str) -> str:
        """The output of the command `flwr` on this engine, as in `engine.flwr("supernode", "ls", "langevax")`.

        Raises:
            EngineError: it failed or took longer than the engine's patience.
        """
        family, log = self.family, self.home / f"flwr-{time.monotonic_ns()}.log"
        member = family.start(" ".join(["flwr", *words]), [program("flwr"), *words], self.environment, log)
        member.wait_for(lambda: member.exit_code is not None, self.patience, "done")
        text = member.text()
        family.kill(member)
        if member.exit_code != 0 or '"success": false' in text:
            raise member.failure(f"failed with exit code {member.exit_code}")
        log.unlink()
        return text

    def kill_server(self) -> None:
        """End the SuperLink at once, with the server app and, in a simulation, the clients: as a crash would."""
        self.family.kill(self._server)

    def _start_server(self) -> Member:
        words = [program("flower-superlink"), "--disable-runtime-dependency-installation"]
        words += ["--host", self.host, "--port", str(self.port), *self._server_words]
        server = self._start("The SuperLink", words, "superlink.log")
        host = self.address.rpartition(":")[0]
        server.wait_for(lambda: answers(host, self.port), self.patience, "ready")
        return server

    @abstractmethod
    def _start_clients(self) -> None:
        """Those that there are before a run."""

    def _start(self, name: str, words: Sequence[str], log: str) -> Member:
        return self.family.start(name, words, self.environment, self.logs / log)


def settings_of(app: str | Path) -> dict[str, Any]:
    """[tool.flwr.app.config] of an app: what a run may change, with its defaults; nested keys joined by points.

    Raises:
        ValueError: no pyproject.toml there, or one that describes no app of Flower's.
    """
    path = Path(app) / "pyproject.toml"
    if not path.is_file():
        raise ValueError(f"app is {str(app)!r}, and there is no {str(path)!r}; name the folder of a Flower app.")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
    except (KeyError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} does not describe a Flower app ([tool.flwr.app]): {error!r}.") from error
    return _flat(found.get("config", {}))


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return flat


def program(name: str) -> str:
    beside = Path(sysconfig.get_path("scripts")) / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise EngineError(f"the program {name!r} is not installed; pip install 'langevax[flower]'.")
    return found
