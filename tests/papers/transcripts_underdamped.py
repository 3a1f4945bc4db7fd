"""N-ULA, underdamped mean-field Langevin dynamics of N particles, Fu and Wilson (ICML 2024), in plain NumPy."""

import numpy as np


def n_ula(
    neuron,
    neuron_gradient,
    loss_derivative,
    inputs,
    targets,
    start,
    start_velocity,
    step_size,
    friction,
    ridge,
    temperature,
    noises,
):
    """The force of the cloud is frozen over a step, everything else of the step is exact.

        dx = v dt,      dv = -friction v dt - force dt + sqrt(2 friction temperature) dW

    Arguments as in `transcripts.mfld`, with `noises` (steps, 2, N, d): standard normals, the first of each pair is the
    velocity's, and the position's noise is made of both. Returns positions and velocities, each (steps + 1, N, d).
    """
    x, v = np.array(start, float), np.array(start_velocity, float)
    phi2 = np.exp(-friction * step_size)
    phi0 = (1 - phi2) / friction
    phi1 = (step_size - phi0) / friction
    (variance_x, shared), (_, variance_v) = noise_covariance(
        step_size, friction, temperature
    )
    positions, velocities = [x], [v]
    for first, second in noises:
        dual = np.empty(len(inputs))
        for i in range(len(inputs)):
            output = 0.0
            for particle in x:
                output += neuron(particle, inputs[i]) / len(x)
            dual[i] = loss_derivative(output, targets[i])
        force = 2 * ridge * x
        for r in range(len(x)):
            for i in range(len(inputs)):
                force[r] += dual[i] * neuron_gradient(x[r], inputs[i]) / len(inputs)
        noise_v = np.sqrt(variance_v) * first
        noise_x = (
            shared / np.sqrt(variance_v) * first
            + np.sqrt(variance_x - shared**2 / variance_v) * second
        )
        x, v = x + phi0 * v - phi1 * force + noise_x, phi2 * v - phi0 * force + noise_v
        positions.append(x)
        velocities.append(v)
    return np.array(positions), np.array(velocities)


def noise_covariance(step_size, friction, temperature):
    """Covariance of one coordinate's noise in (x, v) over a step."""
    phi2 = np.exp(-friction * step_size)
    phi0 = (1 - phi2) / friction
    variance_x = (
        2
        * temperature
        / friction
        * (step_size - 2 * phi0 + (1 - phi2**2) / (2 * friction))
    )
    shared = temperature / friction * (1 - phi2) ** 2
    variance_v = temperature * (1 - phi2**2)
    return np.array([[variance_x, shared], [shared, variance_v]])
