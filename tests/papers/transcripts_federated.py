"""Plain NumPy transcripts of federated methods: loops over clients, whole tables, no cleverness; all draws handed over.

`gradient(i, x, rows)` is the mean gradient over those rows of client i (None: all of them), `weights` are w_i, adding
up to one. An exchange is the list of clients that answered, each `(i, share, draws)`: shares are w_i over the
probability of being asked, and means over answers are by shares scaled to add up to one. It is empty where nobody did.
"""

import numpy as np


def mean(answers, values):
    return np.average(values, axis=0, weights=[share for _, share, _ in answers])


def fedavg(gradient, start, step_size, server_step_size, rounds):
    """McMahan et al. 2017; draws: K batches."""
    x, iterates = start, [start]
    for answers in rounds:
        changes = []
        for i, _, batches in answers:
            y = x
            for rows in batches:
                y = y - step_size * gradient(i, y, rows)
            changes.append(y - x)
        if answers:
            x = x + server_step_size * mean(answers, changes)
        iterates.append(x)
    return np.array(iterates)


class PlainSteps:
    """The server's step without an optimizer: `update` is the change itself."""

    def update(self, change):
        return change


class Momentum:
    """FedAvgM, Hsu, Qi and Brown 2019: m <- beta m + change."""

    def __init__(self, beta):
        self.beta, self.m = beta, 0.0

    def update(self, change):
        self.m = self.beta * self.m + change
        return self.m


class Adaptive:
    """FedAdam and FedYogi, Reddi et al. 2021, Algorithm 2, with the bias correction of Adam for both moments."""

    def __init__(self, beta, beta2, tau, yogi=False, initial=0.0):
        self.beta, self.beta2, self.tau, self.yogi = beta, beta2, tau, yogi
        self.m, self.v, self.count = (
            -initial,
            initial,
            0,
        )  # the first moment of minus the change

    def update(self, change):
        self.count += 1
        self.m = self.beta * self.m + (1 - self.beta) * change
        square = change**2
        if self.yogi:
            self.v = self.v - (1 - self.beta2) * square * np.sign(self.v - square)
        else:
            self.v = self.beta2 * self.v + (1 - self.beta2) * square
        m, v = (
            self.m / (1 - self.beta**self.count),
            self.v / (1 - self.beta2**self.count),
        )
        return m / (np.sqrt(v) + self.tau)


class Adagrad:
    """FedAdagrad, Reddi et al. 2021, Algorithm 2 without momentum, v_0 = tau^2; its square is added within the root."""

    def __init__(self, tau):
        self.tau, self.v = tau, tau**2

    def update(self, change):
        self.v = self.v + change**2
        return change / np.sqrt(self.v + self.tau**2)


def fedprox(gradient, start, step_size, server_step_size, mu, rounds, server):
    """Li et al. 2020, Algorithm 2, solved by K steps; mu = 0 is FedAvg. `server` has the state of its optimizer."""
    x, iterates = start, [start]
    for answers in rounds:
        changes = []
        for i, _, batches in answers:
            y = x
            for rows in batches:
                y = y - step_size * (gradient(i, y, rows) + mu * (y - x))
            changes.append(y - x)
        if answers:
            x = x + server_step_size * server.update(mean(answers, changes))
        iterates.append(x)
    return np.array(iterates)


def fednova(gradient, start, step_size, server_step_size, rounds):
    """Wang et al. 2020, equations 7 and 8 with plain SGD; draws: tau_i batches, tau_i of the client."""
    x, iterates = start, [start]
    for answers in rounds:
        directions = []
        for i, _, batches in answers:
            y = x
            for rows in batches:
                y = y - step_size * gradient(i, y, rows)
            directions.append((x - y) / (step_size * len(batches)))
        if answers:
            effective = mean(
                answers, [float(len(batches)) for _, _, batches in answers]
            )
            x = x - server_step_size * effective * step_size * mean(answers, directions)
        iterates.append(x)
    return np.array(iterates)


def feddyn(gradient, weights, start, step_size, alpha, rounds):
    """Acar et al. 2021, Algorithm 1, solved by K steps; draws: K batches. Also the last h and g_i."""
    x, iterates = start, [start]
    linear, h = np.zeros((len(weights), len(start))), np.zeros(len(start))
    for answers in rounds:
        ends = []
        for i, _, batches in answers:
            y = x
            for rows in batches:
                y = y - step_size * (gradient(i, y, rows) - linear[i] + alpha * (y - x))
            linear[i] = linear[i] - alpha * (y - x)
            h = h - alpha * weights[i] * (y - x)
            ends.append(y)
        if answers:
            x = mean(answers, ends) - h / alpha
        iterates.append(x)
    return np.array(iterates), h, linear


def minibatch_sgd(gradient, start, step_size, rounds):
    """Draws: a batch."""
    x, iterates = start, [start]
    for answers in rounds:
        if answers:
            x = x - step_size * mean(
                answers, [gradient(i, x, rows) for i, _, rows in answers]
            )
        iterates.append(x)
    return np.array(iterates)


def scaffold(
    gradient, weights, start, step_size, server_step_size, option, rounds, server=None
):
    """Karimireddy et al. 2020, Algorithm 1; draws: K batches. Also the last c and c_i."""
    server = PlainSteps() if server is None else server
    x, iterates = start, [start]
    controls, c = np.zeros((len(weights), len(start))), np.zeros(len(start))
    for answers in rounds:
        changes, moves = [], []
        for i, _, batches in answers:
            y = x
            for rows in batches:
                y = y - step_size * (gradient(i, y, rows) - controls[i] + c)
            of_path = controls[i] - c + (x - y) / (len(batches) * step_size)
            renewed = gradient(i, x, None) if option == "I" else of_path
            changes.append(y - x)
            moves.append((i, renewed - controls[i]))
        if answers:
            x = x + server_step_size * server.update(mean(answers, changes))
        for i, move in moves:
            controls[i] += move
            c = c + weights[i] * move
        iterates.append(x)
    return np.array(iterates), c, controls


def scaffold_m(gradient, weights, start, step_size, server_step_size, beta, rounds):
    """Cheng et al. 2024, SCAFFOLD-M; draws: K batches. Also the last c, c_i and g."""
    x, g, iterates = start, np.zeros(len(start)), [start]
    controls, c = np.zeros((len(weights), len(start))), np.zeros(len(start))
    for answers in rounds:
        changes, moves = [], []
        for i, _, batches in answers:
            y, gradients = x, []
            for rows in batches:
                gradients.append(gradient(i, y, rows))
                y = y - step_size * (
                    beta * (gradients[-1] - controls[i] + c) + (1 - beta) * g
                )
            changes.append((x - y) / (step_size * len(batches)))
            moves.append((i, np.mean(gradients, axis=0) - controls[i]))
        if answers:
            g = mean(answers, changes)
            x = x - server_step_size * step_size * len(batches) * g
        for i, move in moves:
            controls[i] += move
            c = c + weights[i] * move
        iterates.append(x)
    return np.array(iterates), c, controls, g


def mime_sgd(gradient, start, step_size, rounds):
    """Karimireddy et al. 2021 with plain SGD; a round: answers to the first exchange, and to the second (K batches)."""
    x, iterates = start, [start]
    for first, second in rounds:
        if first and second:
            anchor = mean(first, [gradient(i, x, None) for i, _, _ in first])
            ends = []
            for i, _, batches in second:
                y = x
                for rows in batches:
                    y = y - step_size * (
                        gradient(i, y, rows) - gradient(i, x, rows) + anchor
                    )
                ends.append(y)
            x = mean(second, ends)
        iterates.append(x)
    return np.array(iterates)


def local_sarah(gradient, i, x, v, step_size, batches, noises):
    """K = len(noises) steps; K - 1 batches."""
    before, w = x, x - step_size * v + noises[0]
    for rows, xi in zip(batches, noises[1:], strict=True):
        v = v + gradient(i, w, rows) - gradient(i, before, rows)
        before, w = w, w - step_size * v + xi
    return w


def bvr_l_psgd(gradient, start, step_size, period, rounds):
    """Murata and Suzuki 2021, 2022. A round: answers to the estimate (a batch), and to the local exchange, at most one
    (K - 1 batches, K noises). x_prev stays the point of the last estimate that anyone answered."""
    x, previous, v, iterates = start, start, np.zeros(len(start)), [start]
    for t, (estimate, local) in enumerate(rounds):
        if estimate:
            if t % period == 0:
                v = mean(estimate, [gradient(i, x, None) for i, _, _ in estimate])
            else:
                v = v + mean(
                    estimate,
                    [
                        gradient(i, x, rows) - gradient(i, previous, rows)
                        for i, _, rows in estimate
                    ],
                )
            previous = x
        for i, _, (batches, noises) in local:
            x = local_sarah(gradient, i, x, v, step_size, batches, noises)
        iterates.append(x)
    return np.array(iterates)


def minibatch_sarah(gradient, start, step_size, period, rounds):
    """SARAH between clients; draws: a batch. Where nobody answers the server does not move."""
    x, previous, v, iterates = start, start, np.zeros(len(start)), [start]
    for t, answers in enumerate(rounds):
        if answers:
            if t % period == 0:
                v = mean(answers, [gradient(i, x, None) for i, _, _ in answers])
            else:
                v = v + mean(
                    answers,
                    [
                        gradient(i, x, rows) - gradient(i, previous, rows)
                        for i, _, rows in answers
                    ],
                )
            previous, x = x, x - step_size * v
        iterates.append(x)
    return np.array(iterates)


def fledge(gradient, weights, start, step_size, opening, rounds):
    """SLEDGE between clients with its table whole; a round: answers to the local exchange, then to the anchor.

    Also v after the last round. At the start those who did not answer have the mean of those who did.
    """
    x, previous, iterates = start, start, [start]
    table = np.zeros((len(weights), len(start)))
    if opening:
        heard = [gradient(i, x, None) for i, _, _ in opening]
        table[:] = mean(opening, heard)
        for (i, _, _), g in zip(opening, heard, strict=True):
            table[i] = g
    for local, anchor in rounds:
        for i, _, (batches, noises) in local:
            x = local_sarah(gradient, i, x, weights @ table, step_size, batches, noises)
        if anchor:
            here = {i: gradient(i, x, None) for i, _, _ in anchor}
            move = mean(
                anchor, [here[i] - gradient(i, previous, None) for i, _, _ in anchor]
            )
            for i in range(len(weights)):
                table[i] = here[i] if i in here else table[i] + move
            previous = x
        iterates.append(x)
    return np.array(iterates), weights @ table
