"""Model weights: a registry of what there is, a cache of what is here, pulls that can be resumed, and loading that runs no code."""
