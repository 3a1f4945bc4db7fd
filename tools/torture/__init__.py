"""Whether anything that langevax saves is ever lost, mixed up or read wrongly: `make torture`."""
