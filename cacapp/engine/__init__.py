"""Where per-frame work is done: in this process, in local processes, or on a Dask cluster; one item in, one outcome out."""

from cacapp.engine.engine import Engine, engine_or_new
from cacapp.engine.machine import cores
from cacapp.engine.outcome import Outcome

__all__ = ["Engine", "Outcome", "cores", "engine_or_new"]
