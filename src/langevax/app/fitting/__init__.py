"""`langevax fit`: from options to the saved model and its report."""
