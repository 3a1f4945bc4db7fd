"""Importing the integration sends nothing."""

import os
import subprocess
import sys

import pytest

pytest.importorskip(
    "flwr", reason="Flower is not installed: pip install 'langevax[flower]'"
)


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
