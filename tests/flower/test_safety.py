"""Keys, telemetry, and what a federation refuses because it would protect nothing."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)

from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, fixedclipping_mod

from langevax.federated import FedAvg
from langevax.flower import Task, client_app
from langevax.flower.engines import make_certificates, make_node_key


def test_certificates_and_keys_are_private_and_never_overwritten(tmp_path):
    made = make_certificates(tmp_path)
    key = make_node_key(tmp_path, "node")
    before = made.key.read_bytes()
    assert [path.stat().st_mode & 0o777 for path in (made.key, key.private)] == [
        0o600,
        0o600,
    ]
    with pytest.raises(
        ValueError,
        match=r"ca\.crt' is there already; pass another folder, or remove it",
    ):
        make_certificates(tmp_path)
    assert made.key.read_bytes() == before


def test_importing_the_integration_switches_telemetry_off_unless_it_is_asked_for():
    code = "import os, langevax.flower; from flwr.supercore import telemetry; print(telemetry.FLWR_TELEMETRY_ENABLED)"
    others = {
        name: value
        for name, value in os.environ.items()
        if name != "FLWR_TELEMETRY_ENABLED"
    }
    for own, expected in (({}, "0"), ({"FLWR_TELEMETRY_ENABLED": "1"}, "1")):
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command,
            env=others | own,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    "mod", [LocalDpMod(1.0, 1.0, 1.0, 1e-5), fixedclipping_mod, adaptiveclipping_mod]
)
def test_mods_of_privacy_that_would_protect_nothing_are_refused(mod):
    with pytest.raises(
        ValueError,
        match=r"mods has .* so that nothing would be protected: leave it out",
    ):
        client_app(
            Task(FedAvg(0.1, 1), np.zeros(2, np.float32), lambda context: None),
            mods=[mod],
        )
