"""Tables on disk, and partitions of rows between clients."""

from typing import TYPE_CHECKING

from langevax import imports

if TYPE_CHECKING:
    from langevax.data import partitions
    from langevax.data.rows import Rows, open_rows
    from langevax.data.tables import convert_table
    from langevax.data.writing import write_rows

__all__ = ["Rows", "convert_table", "open_rows", "partitions", "write_rows"]
__dir__: object = __all__.copy

if not TYPE_CHECKING:  # with it, type checkers would accept every name
    __getattr__ = imports.lazily(
        __name__,
        {
            "": "partitions",
            "rows": "Rows open_rows",
            "tables": "convert_table",
            "writing": "write_rows",
        },
    )
