"""Models behind the UM-Bridge protocol: draws of the same function in Python, and what servers do wrong in a sentence.

Questions go over loopback to a server of a few lines here, and to one of the package `umbridge` where it is installed.
"""

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import jax
import numpy as np
import pytest

import langevax
from langevax import spaces
from langevax.sampling import UMBridgeModel
from tests.printed import BLOCK
from tests.sentences import refuses, warns

pytestmark = pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning")
KEY = jax.random.key(0)
BASIS = spaces.Cosine(5)
PRIOR = spaces.GaussianPrior(BASIS, spaces.spectra.matern(BASIS, length_scale=0.4))
ROWS = np.linspace(-1, 1, 15).reshape(3, 5) ** 2
DATA = np.array([2.0, 0.5, 1.0])


def forward(values, level=1.0):
    return level * ROWS @ np.exp(values)


def adjoint(values, residual, level=1.0):
    return level * np.exp(values) * (ROWS.T @ residual)


def replies(path, question):
    """The protocol, of one model."""
    level = question.get("config", {}).get("level", 1.0)
    values = np.array(question.get("input", [[0.0]])[0])
    if path == "/Info":
        return {"protocolVersion": 1.0, "models": ["forward"]}
    if path == "/ModelInfo":
        return {"support": {"Evaluate": True, "Gradient": True}}
    if path == "/InputSizes":
        return {"inputSizes": [5]}
    if path == "/OutputSizes":
        return {"outputSizes": [3]}
    if path == "/Evaluate":
        return {"output": [forward(values, level).tolist()]}
    assert (path, question["outWrt"], question["inWrt"]) == ("/Gradient", 0, 0)
    return {"output": adjoint(values, np.array(question["sens"]), level).tolist()}


@contextmanager
def serving(answer=replies):
    """Yield the url of a server whose replies are `answer(path, question)`: a dict, or (status, text)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            question = json.loads(
                self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}"
            )
            reply = answer(self.path, question)
            status, text = (
                reply if isinstance(reply, tuple) else (200, json.dumps(reply))
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def changed(path, reply):
    """A server that gives another reply to one question."""
    return lambda asked, question: reply if asked == path else replies(asked, question)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hmc", "pcn"])
def test_draws_are_those_of_the_function_in_python(method):
    local = langevax.inverse_problem(forward, DATA, 0.2, PRIOR, adjoint=adjoint)
    options = {"num_samples": 20, "num_warmup": 10, "run": langevax.Run(progress=False)}
    if method == "pcn":
        options["algorithm"] = langevax.PCN()
    expected = langevax.sample(local, key=KEY, **options)
    with serving() as url:
        remote = langevax.inverse_problem(
            UMBridgeModel(url, "forward"), DATA, 0.2, PRIOR, parallel=2
        )
        draws = langevax.sample(remote, key=KEY, **options)
    assert draws.method == method
    np.testing.assert_array_equal(draws.positions, expected.positions)
    assert draws.solves == expected.solves


def test_the_configuration_is_sent_with_each_question():
    values = np.array([0.1, -0.3, 0.2, 0.0, 1.0])
    with serving() as url:
        model = UMBridgeModel(url + "/", "forward", config={"level": 2.0})
        np.testing.assert_array_equal(model(values), forward(values, 2.0))
        np.testing.assert_array_equal(
            model.adjoint(values, DATA), adjoint(values, DATA, 2.0)
        )


def test_a_model_without_a_gradient_is_sampled_by_pcn():
    with serving(
        changed("/ModelInfo", {"support": {"Evaluate": True, "Gradient": False}})
    ) as url:
        model = UMBridgeModel(url, "forward")
        target = langevax.inverse_problem(model, DATA, 0.2, PRIOR)
        assert model.adjoint is None
        assert (
            langevax.sample(
                target,
                key=KEY,
                num_samples=2,
                num_warmup=1,
                run=langevax.Run(progress=False),
            ).method
            == "pcn"
        )


@pytest.mark.parametrize(
    ("path", "reply", "facts"),
    [
        (
            "/Info",
            {"protocolVersion": 1.0, "models": ["a", "b"]},
            "'forward' 'a' 'b'",
        ),
        (
            "/Info",
            {"protocolVersion": 2.0, "models": []},
            "2.0 UM-Bridge 1.0",
        ),
        (
            "/Info",
            (404, "<html>not found"),
            "UM-Bridge 404",
        ),
        ("/Info", (200, "[]"), "UM-Bridge"),
        (
            "/ModelInfo",
            {"support": {"Evaluate": False}},
            "'forward'",
        ),
        (
            "/InputSizes",
            {"inputSizes": [2, 3]},
            "2 3",
        ),
        (
            "/InputSizes",
            {"inputSizes": [4]},
            "4 prior.basis.grid 5",
        ),
        ("/OutputSizes", {"outputSizes": [1, 1]}, "output"),
        ("/Info", {"error": "boom"}, "boom"),
        ("/Info", {"protocolVersion": 1.0, "models": 3}, "'models'"),
        ("/Info", {"protocolVersion": 10**400, "models": []}, "UM-Bridge"),
        ("/Info", (302, "elsewhere"), "302"),
        ("/ModelInfo", [], "'support'"),
        ("/ModelInfo", {"support": None}, "'support'"),
        ("/ModelInfo", {"support": {"Evaluate": "no"}}, "Evaluate"),
        ("/InputSizes", {"inputSizes": ["5"]}, "1000000"),
        ("/OutputSizes", {"outputSizes": [10**400]}, "1000000"),
        ("/OutputSizes", {"outputSizes": [True]}, "1000000"),
        (
            "/Evaluate",
            {"output": [[1.0, 2.0, None]]},
            "nan [2]",
        ),
        ("/Gradient", {"output": [1.0] * 5}, ""),
    ],
)
def test_mistakes_are_named_when_the_problem_is_built(path, reply, facts):
    with serving(changed(path, reply)) as url, refuses(ValueError, facts):
        langevax.inverse_problem(UMBridgeModel(url, "forward"), DATA, 0.2, PRIOR)


ERROR = {"error": {"type": "InvalidOutput", "message": "the mesh is empty"}}


@pytest.mark.parametrize(
    ("reply", "facts"),
    [
        (
            (500, json.dumps(ERROR)),
            "'forward' InvalidOutput",
        ),
        (
            (500, "500 Internal Server Error\n\nServer got itself in trouble"),
            "500",
        ),
        ((200, '{"output": [[nan, 1.0, 2.0]] }'), "JSON nan"),
        ({"output": 3.0}, "'output'"),
        ({"output": [["1", "2", "3"]]}, "vector"),
        ({"output": [[1.0, 2.0, True]]}, "vector"),
        ({"output": [[1.0, 2.0, 3.0], []]}, "vector"),
        ({"error": "boom\x1b[2J"}, "boom"),
        ({"error": None}, "None"),
        ([], "'output'"),
        ((200, "null"), "'output'"),
        ((200, "[" * 900), "JSON"),
        ((200, "[" * 2000), "longer"),
        ((200, '{"output": [[' + "1," * 1500 + "1]]}"), "longer"),
        ((200, " " * 10**5 + "{}"), "longer"),
    ],
)
def test_a_failed_solve_says_why(reply, facts):
    with (
        serving(changed("/Evaluate", reply)) as url,
        refuses(RuntimeError, facts),
    ):
        UMBridgeModel(url, "forward")(np.zeros(5))


@pytest.mark.parametrize(
    ("path", "reply"),
    [("/Evaluate", {"output": [[1.0]]}), ("/Gradient", {"output": [1.0] * 4})],
)
def test_a_reply_of_another_size_ends_the_run(path, reply):
    with (
        serving(changed(path, reply)) as url,
        refuses(ConnectionError, f"{path[1:]} numbers"),
    ):
        langevax.inverse_problem(UMBridgeModel(url, "forward"), DATA, 0.2, PRIOR)


def test_a_number_too_large_for_a_float_is_infinite():
    reply = {"output": [[1.0, 2, 10**400]]}
    with serving(changed("/Evaluate", reply)) as url:
        assert np.isinf(UMBridgeModel(url, "forward")(np.zeros(5))).any()


def test_a_server_that_is_silent_or_slow_is_not_waited_for():
    """One never answers; one sends a byte now and then, each before a socket's own timeout."""
    for text in (b"", b"HTTP/1.0 200 OK\r\n"):
        closing_time = Event()

        def drip(text=text, closing_time=closing_time):
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                while not closing_time.wait(0.05):
                    connection.sendall(text[:1])
                    text = text[1:] or text

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = Thread(target=drip)
            thread.start()
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            with refuses(ConnectionError, "within"):
                UMBridgeModel(url, "forward", answer_seconds=0.3)
            closing_time.set()
            thread.join()


def test_redirects_are_not_followed():
    asked = []

    def elsewhere(path, question):
        asked.append(path)
        return replies(path, question)

    with serving(elsewhere) as other, socket.create_server(("127.0.0.1", 0)) as server:

        def send_away():
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                words = f"HTTP/1.0 302 Found\r\nLocation: {other}/Info\r\n\r\n"
                connection.sendall(words.encode())

        thread = Thread(target=send_away)
        thread.start()
        with refuses(ValueError, "302"):
            UMBridgeModel(f"http://127.0.0.1:{server.getsockname()[1]}", "forward")
        thread.join()
    assert asked == []


def test_failed_solves_are_rejected_and_counted():
    def fragile(path, question):
        failed = path == "/Evaluate" and question["input"][0][0] > 1.0
        return (500, json.dumps(ERROR)) if failed else replies(path, question)

    with serving(fragile) as url:
        model = UMBridgeModel(url, "forward")
        with warns(langevax.sampling.SolverWarning, "failed 1 4"):
            target = langevax.inverse_problem(model, DATA, 1.0, PRIOR)
        draws = langevax.sample(
            target,
            key=KEY,
            num_samples=40,
            num_warmup=1,
            algorithm=langevax.PCN(),
            run=langevax.Run(progress=False),
        )
    assert draws.solves.failed > 0
    assert np.asarray(target.functions(draws.positions))[..., 0].max() <= 1.0
    assert any("InvalidOutput: the mesh is empty" in line for line in draws.warnings)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_load_balancer_without_a_server_is_no_failed_solve(status):
    def empty(path, question):
        is_solve = path == "/Evaluate"
        return (status, "no server") if is_solve else replies(path, question)

    with serving(empty) as url, refuses(ConnectionError):
        UMBridgeModel(url, "forward")(np.zeros(5))


def test_a_server_that_goes_away_ends_the_run():
    with serving() as url:
        target = langevax.inverse_problem(
            UMBridgeModel(url, "forward"), DATA, 0.2, PRIOR
        )
    with refuses(ConnectionError, "UM-Bridge http://127.0.0.1"):
        langevax.sample(
            target, key=KEY, num_samples=2, run=langevax.Run(progress=False)
        )
    with refuses(ConnectionError):
        UMBridgeModel(url, "forward")


@pytest.mark.parametrize(
    ("arguments", "error", "facts"),
    [
        (
            ("localhost:4242", "forward"),
            ValueError,
            "url 'http://localhost:4242'",
        ),
        (("file:///etc/hosts", "forward"), ValueError, "url"),
        ((4242, "forward"), TypeError, "url"),
        (("http://localhost:1", None), TypeError, "name"),
        (("http://localhost:1", "forward", [1]), TypeError, "config"),
        (
            ("http://localhost:1", "forward", {"level": np.ones(2)}),
            TypeError,
            "config JSON",
        ),
    ],
)
def test_mistakes_in_the_arguments_are_named(arguments, error, facts):
    with refuses(error, facts):
        UMBridgeModel(*arguments)


@pytest.mark.parametrize("name", ["solve_seconds", "answer_seconds"])
def test_limits_are_positive(name):
    with refuses(ValueError, f"{name} 0"):
        UMBridgeModel("http://localhost:1", "forward", **{name: 0})


@pytest.mark.slow
def test_the_recipe_runs():
    page = (Path(__file__).parents[2] / "docs" / "how_do_i" / "functions.md").read_text(
        encoding="utf-8"
    )
    (start, _), *_ = BLOCK.findall(page)
    recipe = re.search(r"```py\n(model = .*?)```", page, re.DOTALL).group(1)
    rows = (
        np.exp(
            -50 * (np.linspace(0.1, 0.9, 4)[:, None] - (np.arange(48) + 0.5) / 48) ** 2
        )
        / 5
    )

    def blur(path, question):
        assert path == "/Info" or question["config"] == {"level": 1}
        values = np.array(question.get("input", [[0.0]])[0])
        sizes = {
            "/InputSizes": {"inputSizes": [48]},
            "/OutputSizes": {"outputSizes": [4]},
        }
        if path == "/Evaluate":
            return {"output": [(rows @ values).tolist()]}
        if path == "/Gradient":
            return {"output": (rows.T @ np.array(question["sens"])).tolist()}
        return sizes.get(path) or replies(path, question)

    scope = {}
    with serving(blur) as url, jax.numpy_dtype_promotion("standard"):
        exec(start + recipe.replace("http://localhost:4242", url), scope)
    assert scope["draws"].method == "exact"


SERVER = """
import sys
import numpy as np
import umbridge

ROWS = np.linspace(-1, 1, 15).reshape(3, 5) ** 2

class Forward(umbridge.Model):
    def get_input_sizes(self, config):
        return [5]

    def get_output_sizes(self, config):
        return [3]

    def supports_evaluate(self):
        return True

    def supports_gradient(self):
        return True

    def __call__(self, parameters, config):
        if parameters[0][0] > 9:
            raise ArithmeticError("no convergence")
        return [(config["level"] * ROWS @ np.exp(parameters[0])).tolist()]

    def gradient(self, out, into, parameters, sens, config):
        return (config["level"] * np.exp(parameters[0]) * (ROWS.T @ np.array(sens))).tolist()

umbridge.serve_models([Forward("forward")], int(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_server_of_the_package_umbridge_is_understood():
    pytest.importorskip("umbridge")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER, str(port)],
        stdout=subprocess.DEVNULL,
    )
    try:
        url, end = f"http://localhost:{port}", time.monotonic() + 120
        while True:
            try:
                model = UMBridgeModel(url, "forward", {"level": 2.0})
                break
            except ConnectionError:
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
        with refuses(ValueError, "'backward' 'forward'"):
            UMBridgeModel(url, "backward")
        with refuses(RuntimeError, "500"):
            model(np.full(5, 10.0))
        with refuses(RuntimeError, "InvalidInput 0"):
            model(np.zeros(4))
        local = langevax.inverse_problem(
            lambda v: forward(np.asarray(v), 2.0),
            DATA,
            0.2,
            PRIOR,
            adjoint=lambda v, r: adjoint(v, r, 2.0),
        )
        options = {
            "key": KEY,
            "num_samples": 5,
            "num_warmup": 5,
            "run": langevax.Run(progress=False),
        }
        draws = langevax.sample(
            langevax.inverse_problem(model, DATA, 0.2, PRIOR, parallel=2), **options
        )
        np.testing.assert_array_equal(
            draws.positions, langevax.sample(local, **options).positions
        )
    finally:
        server.terminate()
        server.wait()
