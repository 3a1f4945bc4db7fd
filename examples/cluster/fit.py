"""A fit shared by the processes of a job, each of which runs this script with its own index.

    python fit.py TABLE.csv COLUMN DIR HOST:PORT NUM_PROCESSES INDEX

TABLE holds numbers under a line of names; TABLE and DIR lie on a disk that all processes see. A job that is started
again goes on from its last checkpoint.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from langevax import Run
from langevax.run import process_group
from langevax.sklearn import MeanFieldRegressor

table, target, out, coordinator, num_processes, index = sys.argv[1:]
with process_group(coordinator, int(num_processes), int(index)):
    columns = np.genfromtxt(table, delimiter=",", names=True)
    inputs = [columns[name] for name in columns.dtype.names if name != target]
    model = MeanFieldRegressor(
        num_particles=512,
        sharding=jax.make_mesh((jax.device_count(),), ("particles",)),
        run=Run(checkpoint=Path(out) / "checkpoints", resume=True),
        random_state=0,
    )
    model.fit(np.column_stack(inputs), columns[target])
    if index == "0":
        model.set_params(run=None, sharding=None).save(Path(out) / "model.safetensors")
