"""Processes as the tests of engines see them, in /proc."""

import os
import re
from pathlib import Path

LOOPBACKS = {
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
}


def assert_all_is_gone(engine):
    assert engine.family.processes() == set()
    assert engine.family.guardian.returncode == 0
    assert not engine.home.exists()


def listening(pids):
    """Addresses that these processes listen on, in the kernel's hexadecimal."""
    sockets = set()
    for pid in pids:
        try:
            links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        sockets |= {
            int(actual.group(1))
            for link in links
            if (actual := re.fullmatch(r"socket:\[(\d+)\]", link))
        }
    rows = [
        line.split()
        for kind in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
    ]
    return {
        row[1].partition(":")[0]
        for row in rows
        if row[3] == "0A" and int(row[9]) in sockets
    }


def title_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0].strip()
    except OSError:
        return ""
