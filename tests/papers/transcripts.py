"""The papers' algorithms in plain NumPy, line by line, fed with the random numbers they use.

Nothing here knows the library: a test runs both on the same batches and normal draws and compares every
iterate. All return the iterates, start included, along axis 0. `gamma` is Kinoshita and Suzuki's inverse
temperature; `temperature` is lambda of the mean-field papers, `ridge` their lambda' in ridge |theta|^2.
"""

import numpy as np


def sgld(component_gradient, start, step_size, gamma, batches, noises):
    """SGLD: x <- x - eta g(x, I) + sqrt(2 eta / gamma) xi; `component_gradient(x, indices)` is a mean over indices."""
    x = np.array(start, float)
    iterates = [x]
    for batch, xi in zip(batches, noises, strict=True):
        x = (
            x
            - step_size * component_gradient(x, batch)
            + np.sqrt(2 * step_size / gamma) * xi
        )
        iterates.append(x)
    return np.array(iterates)


def svrg_ld(component_gradient, n, start, step_size, gamma, period, batches, noises):
    """SVRG-LD, Kinoshita and Suzuki (NeurIPS 2022).

    `batches[k]` holds the indices of step k, unused where k is a multiple of the period.
    """
    x = np.array(start, float)
    iterates = [x]
    for k in range(len(noises)):
        j = k % period
        if j == 0:
            snapshot = x
            full = component_gradient(snapshot, np.arange(n))
            v = full
        else:
            batch = batches[k]
            v = (
                component_gradient(x, batch)
                - component_gradient(snapshot, batch)
                + full
            )
        x = x - step_size * v + np.sqrt(2 * step_size / gamma) * noises[k]
        iterates.append(x)
    return np.array(iterates)


def sarah_ld(component_gradient, n, start, step_size, gamma, period, batches, noises):
    """SARAH-LD, Kinoshita and Suzuki (NeurIPS 2022); arguments as in `svrg_ld`."""
    x = x_previous = np.array(start, float)
    iterates = [x]
    for k in range(len(noises)):
        j = k % period
        if j == 0:
            v = component_gradient(x, np.arange(n))
        else:
            batch = batches[k]
            v = component_gradient(x, batch) - component_gradient(x_previous, batch) + v
        x_previous = x
        x = x - step_size * v + np.sqrt(2 * step_size / gamma) * noises[k]
        iterates.append(x)
    return np.array(iterates)


def mala(potential, gradient, start, step_size, temperature, noises, uniforms):
    """MALA for exp(-potential / temperature), accepting where the uniform lies below the Metropolis ratio.

    Returns the iterates (steps + 1, d) and whether each proposal was accepted (steps,).
    """
    x = np.array(start, float)
    iterates, accepted = [x], []
    for xi, uniform in zip(noises, uniforms, strict=True):
        proposal = (
            x - step_size * gradient(x) + np.sqrt(2 * step_size * temperature) * xi
        )
        forward = np.sum((proposal - x + step_size * gradient(x)) ** 2)
        backward = np.sum((x - proposal + step_size * gradient(proposal)) ** 2)
        log_ratio = (potential(x) - potential(proposal)) / temperature
        log_ratio += (forward - backward) / (4 * step_size * temperature)
        accept = bool(np.log(uniform) < log_ratio)
        x = proposal if accept else x
        iterates.append(x)
        accepted.append(accept)
    return np.array(iterates), np.array(accepted)


def mfld(
    neuron,
    neuron_gradient,
    loss_derivative,
    inputs,
    targets,
    start,
    step_size,
    ridge,
    temperature,
    noises,
):
    """Mean-field Langevin dynamics, Nitanda, Wu, Suzuki (AISTATS 2022): noisy gradient descent of N particles.

    `neuron(particle, x)` is a scalar, `neuron_gradient` its gradient in the particle, `loss_derivative(z, y)` a
    scalar. `start` is (N, d), `noises` (steps, N, d).
    """
    cloud = np.array(start, float)
    iterates = [cloud]
    for xi in noises:
        dual = _dual(neuron, loss_derivative, inputs, targets, cloud)
        moved = np.empty_like(cloud)
        for r in range(len(cloud)):
            drift = 2 * ridge * cloud[r]
            for i in range(len(inputs)):
                drift = drift + dual[i] * neuron_gradient(cloud[r], inputs[i]) / len(
                    inputs
                )
            moved[r] = (
                cloud[r]
                - step_size * drift
                + np.sqrt(2 * temperature * step_size) * xi[r]
            )
        cloud = moved
        iterates.append(cloud)
    return np.array(iterates)


def svrg_mfld(
    neuron,
    neuron_gradient,
    loss_derivative,
    inputs,
    targets,
    start,
    step_size,
    ridge,
    temperature,
    period,
    batches,
    noises,
):
    """SVRG-MFLD, Suzuki, Wu, Nitanda (NeurIPS 2023); arguments as in `mfld` and `svrg_ld`.

    The anchor has two parts: the old measure, through `anchor_dual`, and particle r's own old position. At the
    refresh itself the batch terms cancel, so that no batch is read there.
    """
    cloud = np.array(start, float)
    iterates = [cloud]
    for k in range(len(noises)):
        if k % period == 0:
            anchor = cloud
            anchor_dual = _dual(neuron, loss_derivative, inputs, targets, anchor)
            anchor_gradient = np.zeros_like(anchor)
            for r in range(len(anchor)):
                for i in range(len(inputs)):
                    anchor_gradient[r] += (
                        anchor_dual[i]
                        * neuron_gradient(anchor[r], inputs[i])
                        / len(inputs)
                    )
            batch = np.arange(0)
        else:
            batch = batches[k]
        dual = _dual(
            neuron, loss_derivative, inputs, targets, cloud
        )  # only its entries in the batch are read
        moved = np.empty_like(cloud)
        for r in range(len(cloud)):
            v = anchor_gradient[r] + 2 * ridge * cloud[r]
            for i in batch:
                now = dual[i] * neuron_gradient(cloud[r], inputs[i])
                then = anchor_dual[i] * neuron_gradient(anchor[r], inputs[i])
                v = v + (now - then) / len(batch)
            moved[r] = (
                cloud[r]
                - step_size * v
                + np.sqrt(2 * temperature * step_size) * noises[k][r]
            )
        cloud = moved
        iterates.append(cloud)
    return np.array(iterates)


def _dual(neuron, loss_derivative, inputs, targets, cloud):
    """g_i = loss'(z_i), z_i the mean of the neurons over the cloud."""
    dual = np.empty(len(inputs))
    for i in range(len(inputs)):
        output = 0.0
        for particle in cloud:
            output += neuron(particle, inputs[i]) / len(cloud)
        dual[i] = loss_derivative(output, targets[i])
    return dual
