"""What a capsule keeps of a frame is enough to read it in the same way."""

from __future__ import annotations

from cacapp.steps.capsule.recorded_runs import FrameRecord
from cacapp.types import ChannelSource, FrameSource


def test_a_frame_comes_back_with_its_reader() -> None:
    channel = ChannelSource("DAPI", "Hoechst", "/slide.czi", 0, "0" * 64, 20.0, None, "1" * 64)
    source = FrameSource(
        "f", "/slide.czi", "0" * 64, "0 P1", "none", 9, 9, "uint16", 0.2, (channel,), reader="bioio", reader_version="cacapp-bioio 0.2.0"
    )
    again = FrameRecord.model_validate_json(FrameRecord.of(source).model_dump_json())
    assert again.source() == source


def test_a_capsule_from_before_readers_were_recorded_is_read() -> None:
    known = FrameRecord.of(
        FrameSource("f", "f.tif", "0" * 64, "", "none", 9, 9, "uint8", None, (ChannelSource("DAPI", "", "f.tif", 0, ""),))
    )
    old = known.model_dump(exclude={"reader", "reader_version"})
    old["channels"] = [{k: v for k, v in channel.items() if k != "plane_sha256"} for channel in old["channels"]]
    assert FrameRecord.model_validate(old) == known
