"""Certificates of a SuperLink and keys of its SuperNodes: python make_keys.py FOLDER NUM_CLIENTS HOST [HOST ...]

FOLDER then has ca.crt (for everyone), server.pem and server.key (for the SuperLink, which is reached under the HOSTs),
and node-0, node-0.pub, node-1, ... (a SuperNode's own key, and the half of it that is registered).
"""

import sys

from langevax.flower.engines import make_certificates, make_node_key

folder, num_clients, *hosts = sys.argv[1:]
make_certificates(folder, hosts)
for client in range(int(num_clients)):
    make_node_key(folder, f"node-{client}")
