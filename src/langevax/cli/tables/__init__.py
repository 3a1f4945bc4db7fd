"""A table on its way to numbers: read, its columns understood, its target found, its schema kept."""
