"""Pages that open offline: arrays in, one self-contained HTML file out."""
