"""The server of langevax's."""

from langevax.flower import server_app
from ours.task import task

app = server_app(task)
