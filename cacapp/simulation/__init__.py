"""Simulated slides with exact truth: pure functions of a SlideModel and a random generator."""

from cacapp.simulation.copies import KINDS
from cacapp.simulation.frame import SimulatedFrame, TruthRow, simulate_frame
from cacapp.simulation.model import SlideModel
from cacapp.simulation.samples import SAMPLE_MIN_EVALUABLE_CELLS, SAMPLE_MODEL, SAMPLE_PATIENTS, SamplePatient, write_samples
from cacapp.simulation.slide import write_slide

__all__ = [
    "KINDS",
    "SAMPLE_MIN_EVALUABLE_CELLS",
    "SAMPLE_MODEL",
    "SAMPLE_PATIENTS",
    "SamplePatient",
    "SimulatedFrame",
    "SlideModel",
    "TruthRow",
    "simulate_frame",
    "write_samples",
    "write_slide",
]
