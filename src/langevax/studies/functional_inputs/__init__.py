"""Networks that read curves reach the same optimum at any number of modes K, by the dual methods on functions.

Nishikawa, Suzuki, Nitanda, Wu (NeurIPS 2022): two-layer networks whose inputs and weights live in a Hilbert space,
weights with a Gaussian prior of finite trace, trained to the global optimum by PDA and P-SDCA, whose inner loops are
Langevin dynamics in that space. Here 60 curves, neurons tanh(<theta, x> + b), theta ~ N(0, diag(k^-2)), K = 8 to 1024:

dual value   D of P-SDCA with pCNL refreshes at every K; of MFLD (exponential, semi-implicit) and of PDA in its KL form
             (the same two, and pCNL) at a few K. Certified by walks from the prior with pCNL moves, each K by its own
gap          of these certificates
cut-off      D of K modes less that of the most, at one dual by common draws: what the curves themselves leave out
acceptance   of one proposal of fixed size, from the law: pCNL, MALA with a step for each coordinate, MALA with one
steps        whether explicit Euler settles below 2 / precision of the stiffest mode and grows above it
cost         passes over the rows, and seconds of a pCNL move

The problem and the methods are in `runs`. Seconds are those of the machine and are not judged.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from langevax.studies.functional_inputs import runs
from langevax.studies.functional_inputs.figure import draw
from langevax.studies.functional_inputs.verdict import judge
from langevax.studies.study import Config, Study

if TYPE_CHECKING:
    import xarray

MODES: dict[str, tuple[int, ...]] = {"full": (8, 16, 32, 64, 128, 256, 512, 1024), "small": (8, 64)}
FEW_MODES: dict[str, tuple[int, ...]] = {"full": (8, 64, 512), "small": (8,)}
EULER_MODES: dict[str, tuple[int, ...]] = {"full": (16, 64, 256, 1024), "small": (16,)}
BELOW, ABOVE = 0.95, 1.05
ASCENT_PARTICLES, CLOUD_PARTICLES = {"full": 1000, "small": 400}, {"full": 1000, "small": 1000}
STEPS = {"full": 600, "small": 400}  # passes of MFLD, and of the inner loops of PDA
WALKS, WALK_PARTICLES = {"full": 8, "small": 4}, {"full": 2000, "small": 500}
TIMED_PARTICLES = 1000


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """Every method at its numbers of modes, and what breaks beside them."""
    import xarray
    from tqdm import tqdm

    size, seed = config.size, config.seed
    modes, few, euler = MODES[size], FEW_MODES[size], EULER_MODES[size]
    learners = runs.learners(STEPS[size])
    total = 3 * len(modes) + (len(learners) - 1) * len(few) + len(euler) + 1
    bar = tqdm(total=total, desc="functional-inputs", disable=None if progress is None else not progress)
    root = jax.random.key(seed)
    shape = len(learners), len(modes)
    found = {name: np.full(shape, np.nan) for name in (*QUANTITIES, "evaluations", "step", "run_acceptance")}
    duals, proposals, seconds = [], [], []
    for i, (name, learner) in enumerate(learners.items()):
        for j, num_modes in enumerate(modes):
            if i > 0 and num_modes not in few:
                continue
            train_key, walk_key = jax.random.split(jax.random.fold_in(root, 100 * i + j))
            particles = (CLOUD_PARTICLES if i else ASCENT_PARTICLES)[size]
            learnt = runs.learnt(learner, num_modes, particles, train_key)
            certificate = runs.certified(num_modes, learnt.dual, WALK_PARTICLES[size], WALKS[size], walk_key)
            for quantity, attribute in QUANTITIES.items():
                found[quantity][i, j] = getattr(certificate, attribute)
            found["evaluations"][i, j] = learnt.evaluations
            found["step"][i, j], found["run_acceptance"][i, j] = learnt.step_size, learnt.acceptance
            if name == runs.ASCENT:
                duals.append(learnt.dual)
            bar.update()
    for j, (num_modes, dual) in enumerate(zip(modes, duals, strict=True)):
        keys = jax.random.split(jax.random.fold_in(root, 10_000 + j))
        proposals.append(runs.acceptances(num_modes, dual, WALK_PARTICLES[size], keys[0]))
        seconds.append(runs.seconds_per_move(num_modes, dual, TIMED_PARTICLES, keys[1]))
        bar.update(2)
    settles = np.zeros((len(euler), 2), bool)
    for j, num_modes in enumerate(euler):
        for k, factor in enumerate((BELOW, ABOVE)):
            settles[j, k] = not runs.grows(num_modes, factor, jax.random.fold_in(root, 20_000 + 2 * j + k))
        bar.update()
    walks = WALK_PARTICLES[size], WALKS[size]
    cut = runs.truncations(modes[:-1], modes[-1], duals[-1], *walks, jax.random.fold_in(root, 30_000))
    bar.update()
    bar.close()

    of, loss = ("learner", "modes"), {"units": "units of the loss"}
    proposal, passes = np.array(proposals).transpose(1, 0, 2), {"units": "curves seen by the cloud"}
    variables: dict[str, Any] = {name: (of, found[name], loss) for name in QUANTITIES}
    variables |= {
        "trustworthy": (of, found["trustworthy"], {"units": "whether"}),
        "temperatures": (of, found["temperatures"], {"units": "steps of a walk"}),
        "evaluations": (of, found["evaluations"], passes),
        "step": (of, found["step"], {"units": "1"}), "run_acceptance": (of, found["run_acceptance"], {"units": "1"}),
        "acceptance": (("proposal", "modes"), proposal[..., 0], {"units": "probability"}),
        "acceptance_error": (("proposal", "modes"), proposal[..., 1], {"units": "probability"}),
        "seconds": ("modes", seconds, {"units": "seconds of a move of a particle"}),
        "cut_off": ("fewer_modes", cut[:, 0], loss), "cut_off_error": ("fewer_modes", cut[:, 1], loss),
        "settles_below": ("euler_modes", settles[:, 0], {"units": "whether"}),
        "settles_above": ("euler_modes", settles[:, 1], {"units": "whether"}),
        "euler_limit": ("modes", [runs.euler_limit(n) for n in modes], {"units": "time"}),
        "euler_limit_tried": ("euler_modes", [runs.euler_limit(n) for n in euler], {"units": "time"}),
    }  # fmt: skip
    coordinates = {
        "learner": list(learners), "modes": ("modes", list(modes), {"units": "modes"}),
        "fewer_modes": ("fewer_modes", list(modes[:-1]), {"units": "modes"}),
        "euler_modes": ("euler_modes", list(euler), {"units": "modes"}), "proposal": list(runs.PROPOSALS),
    }  # fmt: skip
    untrained = float((runs.curves()[1] ** 2).mean() / 2)  # neurons are odd: the prior's outputs are 0
    attributes = {"seed": seed, "walks": WALKS[size], "step_size": runs.STEP_SIZE, "untrained": untrained}
    return xarray.Dataset(variables, coordinates, attributes)


QUANTITIES = {
    "dual_value": "lower_bound", "dual_value_error": "lower_bound_error", "gap": "gap", "gap_error": "standard_error",
    "trustworthy": "trustworthy", "temperatures": "temperatures",
}  # fmt: skip
"""What is kept of a certificate, and under which names."""

STUDY = Study(
    name="functional-inputs",
    part="problem",
    brief="The same certified optimum at any number of a curve's modes.",
    claim="Networks on curves, with weights of a trace-class Gaussian prior, are trained to the same certified optimum "
    "at any number of modes K: dual value, acceptance of pCNL and passes stay, a pass costs in proportion to it, where "
    "explicit Euler and MALA break down.",
    formula=r"f_q(x) = \int \tanh(\langle \theta, x \rangle)\, q(d\theta), \qquad \min_q \; L(f_q) "
    r"+ T\, \mathrm{KL}(q \, | \, N(0, C)) = \max_g D(g) \ \text{for any } K",
    source="Nishikawa, Suzuki, Nitanda, Wu, NeurIPS 2022 (infinite-dimensional PDA and P-SDCA); Cotter, Roberts, "
    "Stuart, White, Statistical Science 2013 (pCNL)",
    measure=measure,
    draw=draw,
    judge=judge,
    see="Above: dual values on one level within their errors at every number of modes, all gaps far below what an "
    "untrained network leaves, and what cut-off curves change far below the errors. Below: pCNL is accepted alike at "
    "all of them while both kinds of MALA stop moving; Euler's longest step falls with slope -2 where that of the "
    "schemes for functions stays; a move's seconds grow in proportion to modes.",
)
