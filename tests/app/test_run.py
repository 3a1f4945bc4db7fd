"""Other methods of a fit that cannot be imported are named on the terminal."""

import warnings

from langevax.app.fitting import run
from langevax.app.output import Output


def test_a_method_that_cannot_be_imported_is_named_once_and_in_the_words_of_the_command(
    monkeypatch, capsys
):
    def peers(task):
        warnings.warn(
            "CatBoost is installed and cannot be imported (No module named 'six'); left out.",
            stacklevel=2,
        )
        return {"linear": None}

    monkeypatch.setattr(run, "peers", peers)
    assert run.peer_names(Output(False), "regression") == ["linear"]
    printed = " ".join(capsys.readouterr().err.split())
    assert (
        printed
        == "Warning CatBoost is installed and cannot be imported (No module named 'six'); left out."
    )
