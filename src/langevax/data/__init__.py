"""Tables on disk, and what is cut from them."""

from langevax.data import partitions
from langevax.data.conversion import write_rows
from langevax.data.rows import Rows, open_rows
from langevax.data.tables import convert_table

__all__ = ["Rows", "convert_table", "open_rows", "partitions", "write_rows"]
