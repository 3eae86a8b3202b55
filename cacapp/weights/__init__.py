"""Model weights: registry, cache, resumable downloads, and loading that runs no code."""
