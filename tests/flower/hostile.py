"""Clients that lie: one message, put through a change that no honest client makes, drawn from a seed."""

import io

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

KINDS = {
    "query.hello": ("partition", "rows", "num-partitions", "algorithm"),
    "train.exchange": ("run", "number", "exchange", "partition"),
    "evaluate": ("loss", "metric.loss", "metric.server/x", "metric.bytes"),
}
WORDS = ("many", "", "x" * 10**6, "1", "\x1b[2J\n" * 50, "[" * 10**5)


def value(rng):
    """Return a value that fits no field."""
    pool = (
        *WORDS,
        *(b"\x00" * 9, [1, 2], [0.5], ["a"] * 1000, [True]),
        *(np.nan, np.inf, -np.inf, True, 2**62, -(2**62)),
    )
    return pool[rng.integers(len(pool))]


def stored(rng):
    """Return an array whose bytes are not what they say, or not an array."""
    zipped, plain = io.BytesIO(), io.BytesIO()
    np.savez(zipped, a=np.zeros(3))
    np.save(plain, np.zeros(3, np.float32))
    data = plain.getvalue()
    noise = bytearray(data)
    for place in rng.integers(10, 60, 5):  # of the header
        noise[place] = rng.integers(256)
    pool = (
        zipped.getvalue(),
        data.replace(b"(3,)", b"(9" + b"9" * 11 + b",)"),
        data.replace(b"'<f4'", b"'|O' "),
        data[: rng.integers(len(data))],
        data + b"\x00" * 10**6,
        bytes(noise),
        rng.bytes(200),
        b"",
    )
    return Array("float32", (3,), "numpy.ndarray", pool[rng.integers(len(pool))])


def changed(rng, message, reply):
    """Return a reply that a client with the wish to harm sends in place of its own."""
    fields = dict(reply.content["fields"].items())
    records = dict(reply.content.items())
    names = KINDS[message.metadata.message_type]
    name = names[rng.integers(len(names))]
    way = rng.integers(6)
    if way == 0 and "arrays" in records:
        arrays = dict(records["arrays"].items())
        arrays[max(arrays)] = stored(rng)
        records["arrays"] = ArrayRecord(arrays)
    elif way == 1:
        reason = WORDS[rng.integers(len(WORDS))]
        return Message(Error(1, reason), reply_to=message)
    elif way == 2:
        records = {"fields": ArrayRecord([np.zeros(2)])}
        return Message(RecordDict(records), reply_to=message)
    elif way == 3 and "arrays" in records:
        fields["lost"] = True
        records["fields"] = ConfigRecord(fields)
    else:
        wrong = value(rng)
        while type(wrong) is type(fields.get(name)) and not isinstance(wrong, float):
            wrong = value(rng)
        if "algorithm" in name and rng.integers(2):
            wrong = WORDS[rng.integers(len(WORDS))]
        records["fields"] = ConfigRecord(fields | {name: wrong})
    reply.content = RecordDict(records)
    return reply
