"""A deployment whose SuperNodes and SuperLink can be killed."""

from tools.engines import Deployment


class FaultyDeployment(Deployment):
    """`node_ids` are those that the SuperLink gave, new at each start."""

    def __enter__(self):
        super().__enter__()
        self.node_ids = {
            client: int(self.wait_for_node(node)) for client, node in self.nodes.items()
        }
        return self

    def kill_node(self, client):
        """Kill a SuperNode with its children, like a crash."""
        self.family.kill(self.nodes.pop(client))

    def restart_node(self, client):
        """Start a SuperNode after `kill_node`, or one more."""
        node = self.start_node(client)
        self.node_ids[client] = int(self.wait_for_node(node))
        self.nodes[client] = node

    def kill_server(self):
        """Kill the SuperLink with the server app."""
        self.family.kill(self.server)
