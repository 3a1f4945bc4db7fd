"""Pictures: arrays in, figure out, on one theme."""
