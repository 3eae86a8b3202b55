"""Simulated slides with exact truth: pure functions of a SlideModel and a random generator."""

from cacapp.simulation.bank import NucleusBank
from cacapp.simulation.copies import KINDS
from cacapp.simulation.dots import Dot
from cacapp.simulation.frame import SimulatedFrame, TruthRow, simulate_frame
from cacapp.simulation.model import SlideModel
from cacapp.simulation.preset import Preset, load_preset, preset_names
from cacapp.simulation.samples import SAMPLE_MIN_EVALUABLE_CELLS, SAMPLE_MODEL, SAMPLE_PATIENTS, SamplePatient, write_samples
from cacapp.simulation.slide import write_slide

__all__ = [
    "KINDS",
    "SAMPLE_MIN_EVALUABLE_CELLS",
    "SAMPLE_MODEL",
    "SAMPLE_PATIENTS",
    "Dot",
    "NucleusBank",
    "Preset",
    "SamplePatient",
    "SimulatedFrame",
    "SlideModel",
    "TruthRow",
    "load_preset",
    "preset_names",
    "simulate_frame",
    "write_samples",
    "write_slide",
]
