"""The application: the command `langevax`, its reports, and the evaluation of what it fits. Nothing imports it."""
