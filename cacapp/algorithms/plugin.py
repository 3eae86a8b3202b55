"""Plugin with the built-in algorithms and readers, registered through the same entry-point group as any other plugin."""

from cacapp.api import InstanceFilter, Prompter, Reader, Segmenter, SignalDetector
from cacapp.hookspecs import hookimpl


@hookimpl
def cacapp_prompters() -> list[type[Prompter]]:
    from cacapp.algorithms.region_growing import RegionGrowing
    from cacapp.algorithms.samaug import SamAug
    from cacapp.algorithms.split_merge import SplitMerge
    from cacapp.algorithms.watershed import Watershed

    return [Watershed, RegionGrowing, SplitMerge, SamAug]


@hookimpl
def cacapp_segmenters() -> list[type[Segmenter]]:
    from cacapp.algorithms.coarse import Coarse
    from cacapp.algorithms.consensus import Consensus
    from cacapp.algorithms.dense.segmenter import Dense
    from cacapp.algorithms.maskrcnn.segmenter import MaskRcnn
    from cacapp.algorithms.sam.segmenter import AutomaticSam, PromptedSam

    return [Coarse, PromptedSam, AutomaticSam, Dense, MaskRcnn, Consensus]


@hookimpl
def cacapp_filters() -> list[type[InstanceFilter]]:
    from cacapp.algorithms.single_cell import SingleCell

    return [SingleCell]


@hookimpl
def cacapp_signal_detectors() -> list[type[SignalDetector]]:
    from cacapp.algorithms.log import LogDetector

    return [LogDetector]


@hookimpl
def cacapp_readers() -> list[type[Reader]]:
    from cacapp.readers.built_in import PictureReader, TiffReader, ZarrReader
    from cacapp.readers.makers import AicsimageioReader

    return [TiffReader, ZarrReader, PictureReader, AicsimageioReader]
