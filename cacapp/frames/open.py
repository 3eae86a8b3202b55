"""Pixels of a frame of the database, one channel at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cacapp.exceptions import CacappError, UsageError
from cacapp.frames.cache import CachedPath, cached_path
from cacapp.frames.choose_reader import recorded_scenes
from cacapp.frames.digest import sha256_of
from cacapp.frames.projection import focus_z, maximum
from cacapp.frames.remote import is_remote
from cacapp.frames.same_pixels import plane_sha256
from cacapp.frames.scene import read_plane, slices_as_channels
from cacapp.scene import Scene
from cacapp.types import DAPI, Array, ChannelSource, Frame, FrameSource


class PlaneReader:
    """Reader of a frame's channels by position; opens each file once, keeps no pixels, and may be pickled (files are then reopened).

    Copies of remote files stay on the disk as long as this is in use.

    Args:
        verify: after each plane, check that its file still is that of ingest.
    """

    def __init__(self, source: FrameSource, verify: bool = False) -> None:
        self.source, self._verify = source, verify
        self._scenes: dict[str, Scene] = {}
        self._files: dict[str, CachedPath] = {}
        self._focus_z: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return PlaneReader, (self.source, self._verify)

    def __call__(self, index: int) -> Array:
        """Read (Y, X) pixels, uint8 or uint16, of ``source.channels[index]``. Raises CacappError where they cannot be read."""
        channel = self.source.channels[index]
        try:
            plane = self._plane(channel)
            self._check_unchanged(channel)
        except CacappError as error:
            raise CacappError(f"frame {self.source.name}, channel {channel.name}: {channel.uri}: {error}") from error
        expected = (self.source.height_px, self.source.width_px)
        if plane.shape != expected or plane.dtype != np.dtype(self.source.dtype):
            raise CacappError(
                f"frame {self.source.name}, channel {channel.name}: {channel.uri} gives {plane.dtype.name} {plane.shape}, "
                f"ingest saw {self.source.dtype} {expected}; ingest it again"
            )
        return plane

    def _scene(self, channel: ChannelSource) -> Scene:
        if channel.uri not in self._scenes:
            file = self._files[channel.uri] = cached_path(channel.uri, channel.sha256)
            found = recorded_scenes(file.path, self.source.reader, self.source.reader_version)
            scenes = [s for s in found if s.key == self.source.scene or not self.source.scene]
            if not scenes:
                raise CacappError(f"has no scene {self.source.scene}; ingest it again")
            # Only slices taken as channels are kept without a projection.
            sliced = bool(scenes[0].slices) and self.source.projection == "none"
            self._scenes[channel.uri] = slices_as_channels(scenes[0]) if sliced else scenes[0]
        return self._scenes[channel.uri]

    def _check_unchanged(self, channel: ChannelSource) -> None:
        """Raise CacappError where the file was written to while the plane was read; an unchanged file is not read again."""
        file = self._files[channel.uri]
        if self._verify and sha256_of(file.path, ours=is_remote(channel.uri)) != channel.sha256:
            raise CacappError("changed while it was read; put the original back, or ingest the changed frame as a new slide")

    def _plane(self, channel: ChannelSource) -> Array:
        scene = _as_at_ingest(self._scene(channel), channel)
        if scene.n_z == 1 or self.source.projection == "none":
            return read_plane(scene, channel.index, 0)
        if self.source.projection == "max":
            return maximum(scene, channel.index)
        if self._focus_z is None:
            dapi = next((c for c in self.source.channels if c.name == DAPI), self.source.channels[0])
            self._focus_z = focus_z(self._scene(dapi), dapi.index)
        return read_plane(scene, channel.index, self._focus_z)


def _as_at_ingest(scene: Scene, channel: ChannelSource) -> Scene:
    """Return a scene of which the channel's middle plane is compared with that of ingest, where a plugin's reader gave it."""
    if channel.plane_sha256 is None:
        return scene

    def read(index: int, z: int) -> Array:
        plane = scene.read(index, z)
        if (index, z) == (channel.index, scene.n_z // 2) and plane_sha256(plane) != channel.plane_sha256:
            raise CacappError("its reader gives other pixels than at ingest; install the version of then, or ingest the frame again")
        return plane

    return replace(scene, read=read)


def check_unchanged(source: FrameSource) -> None:
    """Raise CacappError where a file of the frame is missing, or its SHA-256 is not that of ingest; remote files are downloaded."""
    again = "put the original back, or ingest the changed frame as a new slide"
    for uri, sha256 in dict.fromkeys((c.uri, c.sha256) for c in source.channels):
        if is_remote(uri):
            try:
                cached_path(uri, sha256)
            except UsageError:
                raise
            except CacappError as error:
                raise CacappError(f"frame {source.name}: {uri} {error}") from error
            continue
        if not Path(uri).exists():
            raise CacappError(f"frame {source.name}: {uri} is missing; put it back where it was at ingest")
        try:
            found = sha256_of(uri)
        except OSError as error:
            raise CacappError(f"frame {source.name}: {uri} cannot be read ({error.strerror}); check its permissions") from error
        if found != sha256:
            raise CacappError(f"frame {source.name}: {uri} has changed since ingest (SHA-256 {found[:12]}, was {sha256[:12]}); {again}")


def open_frame(source: FrameSource, *, verify: bool = True) -> Frame:
    """Return a frame that reads its channels on request.

    Args:
        verify: check first that every file is there and has the SHA-256 of ingest.

    Raises:
        CacappError: a file is missing or has changed (with ``verify``); later, from ``Frame.channel``, pixels that cannot be read.
    """
    if verify:
        check_unchanged(source)
    return Frame(source, PlaneReader(source, verify))
