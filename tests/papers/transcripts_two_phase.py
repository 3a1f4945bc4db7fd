"""Two-phase noisy gradient descent of Akiyama and Suzuki (ICLR 2023, Algorithm 1) in plain NumPy, loops and all."""

import numpy as np


def clip(r, bound):
    return bound * np.tanh(r * abs(r) / (2 * bound))


def clip_slope(r, bound):
    return abs(r) / np.cosh(r * abs(r) / (2 * bound)) ** 2


def output(outer, inner, x):
    total = 0.0
    for a, w in zip(outer, inner, strict=True):
        total += a * max(float(w @ x), 0.0)
    return total


def explore(
    inputs, targets, outer, inner, step_size, temperatures, ridge, bound, noises
):
    """Phase I, with standard normals (m,) and (m, d) for each step. Returns all (outer, inner), start first."""
    a, w = np.array(outer, float), np.array(inner, float)
    path = [(a.copy(), w.copy())]
    n = len(inputs)
    for temperature, (noise_a, noise_w) in zip(temperatures, noises, strict=True):
        gradient_a, gradient_w = 2 * ridge * a, 2 * ridge * w
        for x, y in zip(inputs, targets, strict=True):
            residual = output(clip(a, bound), clip(w, bound), x) - y
            for j in range(len(a)):
                reached = float(clip(w[j], bound) @ x)
                if reached > 0:
                    gradient_a[j] += residual * reached * clip_slope(a[j], bound) / n
                    gradient_w[j] += (
                        residual * clip(a[j], bound) * x * clip_slope(w[j], bound) / n
                    )
        size = np.sqrt(2 * step_size * temperature)
        a, w = (
            a - step_size * gradient_a + size * noise_a,
            w - step_size * gradient_w + size * noise_w,
        )
        path.append((a.copy(), w.copy()))
    return path


def switch(outer, inner, bound):
    a, w = clip(outer, bound), clip(inner, bound)
    return np.sign(a), np.array([abs(a[j]) * w[j] for j in range(len(a))])


def converge(inputs, targets, signs, inner, step_size, num_steps):
    """Phase II. Returns all inner weights, start first."""
    w = np.array(inner, float)
    path = [w.copy()]
    for _ in range(num_steps):
        gradient = np.zeros_like(w)
        for x, y in zip(inputs, targets, strict=True):
            residual = output(signs, w, x) - y
            for j in range(len(w)):
                if w[j] @ x > 0:
                    gradient[j] += residual * signs[j] * x / len(inputs)
        w = w - step_size * gradient
        path.append(w.copy())
    return path


def conic(
    inputs,
    targets,
    signs,
    masses,
    directions,
    mass_step,
    direction_step,
    penalty,
    num_steps,
):
    """Conic descent on sum_j signs_j masses_j relu(directions_j . x), Akiyama and Suzuki (ICML 2021)."""
    r, t = np.array(masses, float), np.array(directions, float)
    path = [(r.copy(), t.copy())]
    for _ in range(num_steps):
        new_r, new_t = r.copy(), t.copy()
        for j in range(len(r)):
            value, slope = penalty, np.zeros_like(t[j])
            for x, y in zip(inputs, targets, strict=True):
                residual = output(signs * r, t, x) - y
                reached = float(t[j] @ x)
                if reached > 0:
                    value += signs[j] * residual * reached / len(inputs)
                    slope += signs[j] * residual * x / len(inputs)
            new_r[j] = r[j] * max(1 - mass_step * value, 0.0)
            tangent = slope - (slope @ t[j]) * t[j]
            moved = t[j] - direction_step * tangent
            new_t[j] = moved / np.linalg.norm(moved)
        r, t = new_r, new_t
        path.append((r.copy(), t.copy()))
    return path
