"""Tables on disk, and partitions of rows between clients."""

from langevax.data import partitions
from langevax.data.rows import Rows, open_rows
from langevax.data.tables import convert_table
from langevax.data.writing import write_rows

__all__ = ["Rows", "convert_table", "open_rows", "partitions", "write_rows"]
__dir__: object = __all__.copy
