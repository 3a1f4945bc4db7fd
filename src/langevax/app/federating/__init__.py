"""`langevax federated`: simulations, and Flower apps."""
