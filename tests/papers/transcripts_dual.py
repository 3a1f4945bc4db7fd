"""Methods of mean field whose state is a dual vector and whose inner loop is Langevin, in plain NumPy.

Particle dual averaging (Nitanda, Wu, Suzuki, NeurIPS 2021) and entropic fictitious play (Chen, Ren, Wang, 2022;
Nitanda et al., 2023), fed with the random numbers they use. As in `transcripts`: `neuron(particle, x)` is a scalar,
`neuron_gradient` its gradient in the particle, `loss_derivative(z, y)` a scalar, clouds are (N, d).

Both take their inner steps for a potential divided by the temperature in print; here the potential stays, and the
step size is theirs over the temperature: one unit with mean-field Langevin dynamics.
"""

import numpy as np


def explicit(particle, data_gradient, precision, step_size, temperature, xi):
    """One Langevin step for data potential + precision / 2 |theta|^2."""
    drift = data_gradient + precision * particle
    return particle - step_size * drift + np.sqrt(2 * step_size * temperature) * xi


def exponential(particle, data_gradient, precision, step_size, temperature, xi):
    """The same with the quadratic part solved exactly, its share of the noise included."""
    decay = np.exp(-step_size * precision)
    return (
        decay * particle
        - (1 - decay) / precision * data_gradient
        + np.sqrt(temperature * (1 - decay**2) / precision) * xi
    )


def pda(
    neuron,
    neuron_gradient,
    loss_derivative,
    inputs,
    targets,
    start,
    step_size,
    ridge,
    temperature,
    batches,
    noises,
    move=explicit,
    tempered=False,
):
    """Particle dual averaging: the slopes of all rounds are kept, and Langevin steps follow their weighted mean.

    `batches[t - 1]` holds the rows of round t (all of them: full batch), `noises[t - 1]` its inner steps' normals,
    (T_t, N, d). Round t moves towards the law prop. to

        exp(-(2 / ((t + 1)(t + 2)) sum_{s <= t} s loss'_s h(., x_s) + ridge |theta|^2) / temperature),

    a mean over its batch in place of one row; `tempered` (the paper) has ridge t / (t + 2) in place of ridge.

    Returns the clouds (rounds + 1, N, d) and A (rounds, n), after each round: A_i sums s loss'_i n / batch size over
    the rounds s that saw row i, so that the sum above is (1/n) sum_i A_i h_i.
    """
    n, cloud = len(inputs), np.array(start, float)
    terms, sums = [], np.zeros(n)
    clouds, all_sums = [cloud], []
    for t in range(1, len(batches) + 1):
        for i in batches[t - 1]:
            output = 0.0
            for particle in cloud:
                output += neuron(particle, inputs[i]) / len(cloud)
            slope = loss_derivative(output, targets[i])
            terms.append((inputs[i], t * slope / len(batches[t - 1])))
            sums[i] += t * slope * n / len(batches[t - 1])
        precision = 2 * ridge
        if tempered:
            precision = 0.0
            for s in range(1, t + 1):
                precision += s * 2 * ridge * 2 / ((t + 1) * (t + 2))
        for xi in noises[t - 1]:
            moved = np.empty_like(cloud)
            for r in range(len(cloud)):
                gradient = np.zeros_like(cloud[r])
                for x, weight in terms:
                    gradient = gradient + weight * neuron_gradient(cloud[r], x)
                gradient = gradient * 2 / ((t + 1) * (t + 2))
                moved[r] = move(
                    cloud[r], gradient, precision, step_size, temperature, xi[r]
                )
            cloud = moved
        clouds.append(cloud)
        all_sums.append(sums.copy())
    return np.array(clouds), np.array(all_sums)


def fictitious_play(
    neuron,
    neuron_gradient,
    loss_derivative,
    inputs,
    targets,
    start,
    rate,
    step_size,
    ridge,
    temperature,
    noises,
    move=explicit,
    start_outputs=None,
):
    """Entropic fictitious play: outputs move to those of particles which follow the outputs' own Gibbs law.

    `noises[t]` holds the normals of round t's inner steps, (k, N, d). The start's outputs are those of the start's
    cloud, unless E_prior h is given.

    Returns the clouds (rounds + 1, N, d) and the outputs (rounds + 1, n).
    """
    n, cloud = len(inputs), np.array(start, float)
    outputs = (
        _outputs(neuron, inputs, cloud)
        if start_outputs is None
        else np.array(start_outputs, float)
    )
    clouds, all_outputs = [cloud], [outputs]
    for steps in noises:
        dual = np.array([loss_derivative(outputs[i], targets[i]) for i in range(n)])
        for xi in steps:
            moved = np.empty_like(cloud)
            for r in range(len(cloud)):
                gradient = np.zeros_like(cloud[r])
                for i in range(n):
                    gradient = (
                        gradient + dual[i] * neuron_gradient(cloud[r], inputs[i]) / n
                    )
                moved[r] = move(
                    cloud[r], gradient, 2 * ridge, step_size, temperature, xi[r]
                )
            cloud = moved
        outputs = (1 - rate) * outputs + rate * _outputs(neuron, inputs, cloud)
        clouds.append(cloud)
        all_outputs.append(outputs)
    return np.array(clouds), np.array(all_outputs)


def _outputs(neuron, inputs, cloud):
    outputs = np.zeros(len(inputs))
    for i in range(len(inputs)):
        for particle in cloud:
            outputs[i] += neuron(particle, inputs[i]) / len(cloud)
    return outputs
