"""Training: one loop, in a background thread or a terminal, that writes a run."""
