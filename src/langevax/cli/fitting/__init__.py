"""`langevax fit` and `predict`, from the request to the saved model and its page."""
