"""`langevax certify`: narrow the certificate of a fitted model."""

from langevax.app.errors import BadInput
from langevax.app.evaluation import holdout
from langevax.app.fitted import with_rows
from langevax.app.fitting.family import FamilyFit
from langevax.app.options import CertifyOptions
from langevax.app.output import Output, plain
from langevax.app.report import summary
from langevax.run import keep_compiled_programs
from langevax.run.options import Run
from langevax.sklearn.law_estimator import PredictiveEstimator


def run(options: CertifyOptions) -> None:
    """Search with another budget, and print what the certificate says."""
    output = Output(options.json)
    keep_compiled_programs()
    folder = options.model
    estimator, data = with_rows(folder, options.table)
    split = data.split
    effort = options.effort
    is_law = isinstance(estimator, PredictiveEstimator)
    if is_law and options.cpu_seconds is None:
        effort = effort or 10 * FamilyFit.effort
    try:
        with output.progress("Certificate") as line:
            certificate = estimator.certificate(
                effort,
                cpu_seconds=options.cpu_seconds,
                random_state=0,
                run=Run(progress=line.show),
            )
    except ValueError as error:  # a network without a certificate
        raise BadInput(f"DIR {str(folder)!r}: {error}") from error
    if is_law:
        sentence = summary.law_optimum(
            certificate.verdict, len(split.train), split.unit
        )
    else:
        sentence = summary.optimum(
            holdout.certified(certificate),
            holdout.on_columns(estimator).temperature_,
            len(split.train),
            split.unit,
        )
    unit = "gradients of rows" if is_law else "neuron gradients"
    output.say("Certificate", sentence)
    output.note(
        f"{certificate.work:.2g} {unit} in {certificate.cpu_seconds:.1f} CPU seconds."
    )
    content = holdout.certified(certificate) | {
        "optimum": sentence,
        "effort": certificate.effort,
        "cpu_seconds": certificate.cpu_seconds,
    }
    output.result(plain(content))
