"""``cacapp plugins check``: a verdict a claim, in words and as JSON; a plugin that crashes or hangs breaks its claims and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PLUGIN = """
import os, time
from typing import ClassVar
import numpy as np
from cacapp import Instance, Segmenter, hookimpl

class Odd(Segmenter):
    "Misbehaves on tiny images."
    name: ClassVar[str] = "odd"
    api_version: ClassVar[int] = 1
    def segment(self, dapi, prompts, pixel_size_um):
        if min(dapi.shape) < 8:
            {misdeed}
        return list(prompts.regions)

@hookimpl
def cacapp_segmenters():
    return [Odd]
"""


pytestmark = [pytest.mark.sqlite_only, pytest.mark.slow]


def test_a_sound_plugin_holds_every_claim(cacapp: Callable[..., Any], install: Callable[..., None]) -> None:
    install("acme-odd", "odd", source=PLUGIN.format(misdeed="pass"))
    ended = cacapp("plugins", "check", "acme-odd")
    assert ended.code == 0, ended.out + ended.err
    assert "segmenter odd, plugin 'odd' of acme-odd 1.2" in ended.out
    assert "broken" not in ended.out
    record = cacapp("plugins", "check", "Acme_Odd", "--json").json
    assert record["holds"]
    assert len(record["algorithms"][0]["claims"]) > 10


@pytest.mark.parametrize(
    ("misdeed", "why"),
    [
        ("raise KeyError('size')", "failed: KeyError: 'size'"),
        ("os.kill(os.getpid(), 11)", "killed or crashed (SIGSEGV)"),
        ("time.sleep(600)", "took longer than 30 s and was stopped"),
        ("os._exit(0)", "killed or crashed (exit code 0)"),
    ],
)
def test_misbehaviour_breaks_the_claim_that_meets_it_and_no_other(
    cacapp: Callable[..., Any], install: Callable[..., None], misdeed: str, why: str
) -> None:
    install("acme-odd", "odd", source=PLUGIN.format(misdeed=misdeed))
    ended = cacapp("plugins", "check", "acme-odd", "--timeout", 30, "--json")
    assert ended.code == 1
    (broken,) = [c for c in ended.json["algorithms"][0]["claims"] if not c["holds"]]
    assert broken["claim"].startswith("Images of a pixel")
    assert why in broken["why"]
    assert ("KeyError" in why) == bool(re.search(r", at acme_odd_\w+\.py:\d+ in segment$", broken["why"]))
    assert ended.lines("error") == [
        f"error: segmenter 'odd', plugin 'odd' of acme-odd 1.2: 1 of {len(ended.json['algorithms'][0]['claims'])} claims are broken"
    ]


def test_a_plugin_that_cannot_be_loaded_fails_the_check(cacapp: Callable[..., Any], install: Callable[..., None]) -> None:
    install("acme-odd", "odd", source="import no_such_library")
    ended = cacapp("plugins", "check", "acme-odd")
    assert ended.code == 1
    assert "cannot be loaded: ModuleNotFoundError" in ended.err


def test_checking_a_plugin_that_is_not_installed_is_a_usage_error(cacapp: Callable[..., Any], install: Callable[..., None]) -> None:
    install("acme-odd", "odd", source=PLUGIN.format(misdeed="pass"))
    ended = cacapp("plugins", "check", "acme-even")
    assert ended.code == 2
    assert "no plugin of a distribution 'acme-even' is installed; there are acme-odd, cacapp" in ended.err
    assert cacapp("plugins", "check", "acme-odd", "--algorithm", "even").code == 2


LEARNER = """
from pathlib import Path
from typing import ClassVar
import numpy as np
from pydantic import Field
from cacapp import hookimpl
from cacapp.api import TrainableSegmenter
from cacapp.exceptions import CacappError

class Level(TrainableSegmenter):
    "Keeps the prompted regions that are brighter than what it learnt."
    name: ClassVar[str] = "level"
    api_version: ClassVar[int] = 1
    weights: str = Field("", description="file that a training wrote")
    share: float = Field(0.5, gt=0, lt=1, description="of the nuclei's mean that a nucleus must have")
    def segment(self, dapi, prompts, pixel_size_um):
        if not self.weights:
            raise CacappError("weights: level has none of its own")
        float(Path(self.weights).read_text())
        return list(prompts.regions)
    def train(self, samples, out, seed, progress):
        {misdeed}
        out.mkdir(parents=True)
        means = [float(s.dapi[s.labels > 0].mean()) for s in samples]
        (out / "level.txt").write_text(str(self.share * np.mean(means)))
        return out / "level.txt"

@hookimpl
def cacapp_segmenters():
    return [Level]
"""


def test_an_algorithm_without_weights_is_trained_first_on_request(cacapp: Callable[..., Any], install: Callable[..., None]) -> None:
    install("acme-level", "level", source=LEARNER.format(misdeed="pass"))
    bare = cacapp("plugins", "check", "acme-level")
    assert bare.code == 1
    assert "level has none of its own" in bare.out
    assert "--train" in bare.err
    taught = cacapp("plugins", "check", "acme-level", "--train", "--set", "level.share=0.4")
    assert taught.code == 0, taught.out + taught.err


def test_a_training_that_fails_is_named(cacapp: Callable[..., Any], install: Callable[..., None]) -> None:
    install("acme-level", "level", source=LEARNER.format(misdeed="raise KeyError('lessons')"))
    ended = cacapp("plugins", "check", "acme-level", "--train")
    assert ended.code == 1
    (line,) = ended.lines("error")
    assert "segmenter 'level' (plugin 'level' of acme-level 1.2): training failed: KeyError: 'lessons', at acme_level_" in line
    assert line.endswith(" in train")


READER = """
from typing import ClassVar
import numpy as np
from cacapp import Reader, Scene, hookimpl

class Npy(Reader):
    "A plane that numpy saved."
    name: ClassVar[str] = "npy"
    api_version: ClassVar[int] = 1
    suffixes: ClassVar[tuple] = (".npy",)
    def scenes(self, path):
        height, width = np.load(path, mmap_mode="r").shape
        return [Scene("", "", np.dtype("uint16"), height, width, ("DAPI",), lambda c, z: np.load(path))]

@hookimpl
def cacapp_readers():
    return [Npy]
"""


def test_a_reader_is_tried_with_a_file_that_is_given(cacapp: Callable[..., Any], install: Callable[..., None], tmp_path: Path) -> None:
    install("acme-npy", "npy", source=READER)
    np.save(tmp_path / "f.npy", np.random.default_rng(1).integers(0, 999, (300, 500)).astype(np.uint16))
    without = cacapp("plugins", "check", "acme-npy", "--json").json
    assert "no file to try: give --file FILE" in str([claim["why"] for claim in without["algorithms"][0]["claims"]])
    ended = cacapp("plugins", "check", "acme-npy", "--file", tmp_path / "f.npy", "--json")
    assert [claim["claim"] for claim in ended.json["algorithms"][0]["claims"] if not claim["holds"]] == []
    missing = cacapp("plugins", "check", "acme-npy", "--file", tmp_path / "gone.npy")
    assert missing.code == 2
    assert "gone.npy: no such file" in missing.err
