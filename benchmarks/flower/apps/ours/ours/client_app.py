"""A client of langevax's."""

from langevax.flower import client_app
from ours.task import task

app = client_app(task)
