"""schema.json beside the model: what training learned of its table, one of three kinds."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langevax._version import __version__
from langevax.cli.errors import BadInput
from langevax.cli.tables.curve_schema import LongCurves, WideCurves
from langevax.cli.tables.given import AnySchema
from langevax.cli.tables.schema import Schema

FORMAT = 1
KINDS: dict[str, Any] = {"columns": Schema, "wide curves": WideCurves, "long curves": LongCurves}


def write_schema(schema: AnySchema, path: Path) -> None:
    """As JSON."""
    (kind,) = (name for name, each in KINDS.items() if isinstance(schema, each))
    content = {"format": FORMAT, "langevax": __version__, "kind": kind, **asdict(schema)}  # type: ignore[call-overload]
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_schema(path: Path) -> AnySchema:
    """From JSON; raise `BadInput` where it is not one of ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, written_by = content["format"], content["langevax"]
        if version != FORMAT:
            raise BadInput(f"MODEL {str(path)!r} has format {version}; read it with langevax {written_by}.")
        return KINDS[content.get("kind", "columns")].from_json(content)
    except OSError as error:
        raise BadInput(f"MODEL {str(path)!r} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"MODEL {str(path)!r} is damaged or was not written by langevax; name a folder made by `langevax fit`."
        ) from error
