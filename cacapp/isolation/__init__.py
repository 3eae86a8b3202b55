"""Algorithms in processes of their own, perhaps of another Python: what goes over the wire is JSON and plain arrays, never pickles."""

from cacapp.isolation.process import ChildProcess, Limits

__all__ = ["ChildProcess", "Limits"]
