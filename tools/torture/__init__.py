"""Search for anything saved that is lost, mixed up or read wrongly: `make torture`."""
