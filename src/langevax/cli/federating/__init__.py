"""`langevax federated`: the federation, its run and its pictures."""
