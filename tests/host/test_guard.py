"""A result that breaks the contract is refused in one line that names the algorithm; a valid result passes unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from cacapp import host as guard
from cacapp.api import InstanceFilter, Prompter, Segmenter, SignalDetector
from cacapp.exceptions import CacappError, UsageError
from cacapp.hookspecs import hookimpl
from cacapp.host import Host
from cacapp.types import Array, Instance, Prompts, Shapes, Signals

WHERE = "(plugin 'mine' of acme-fish 1.2): "
Give = Callable[..., Any]


class Answer(Prompter, Segmenter, InstanceFilter, SignalDetector):
    """Answers with what a test tells it, in every role."""

    name: ClassVar[str] = "answer"
    api_version: ClassVar[int] = 1
    give: ClassVar[Give]
    bounds: ClassVar[Give] = lambda shapes: {}

    def prompt(self, dapi: Array, pixel_size_um: float | None) -> Prompts:
        return type(self).give(dapi)

    def segment(self, dapi: Array, prompts: Prompts, pixel_size_um: float | None) -> list[Instance]:
        return type(self).give(dapi, prompts)

    def judge(self, shapes: Shapes) -> list[str | None]:
        return type(self).give(shapes)

    def limits(self, shapes: Shapes) -> dict[str, float]:
        return type(self).bounds(shapes)

    def detect(self, plane: Array, nuclei: Any, pixel_size_um: float | None) -> Signals:
        return type(self).give(plane, nuclei)


def built(give: Give, bounds: Give = lambda shapes: {}) -> Any:
    made = type("Made", (Answer,), {"__module__": __name__, "give": staticmethod(give), "bounds": staticmethod(bounds)})
    host = Host()
    host.register(SimpleNamespace(cacapp_prompters=hookimpl(lambda: [made])), "mine", "acme-fish", "1.2")
    return host.build("prompter", "answer")


DAPI = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40)
SQUARE = Instance((5, 6, 3, 4), np.ones((4, 3), bool), 0.5)
ONE = Prompts(np.float32([[[6, 7], [0, 0]]]), np.int8([[1, 0]]), np.float32([[5, 6, 8, 10]]), (SQUARE,))
SHAPES = Shapes(*(np.full(2, v) for v in (100.0, 12.0, 10.0, 0.9, 0.95)), np.zeros(2, bool), 0.1)
DOTS = Signals(np.float32([[1, 2], [29.4, 39.4]]), *(np.float32([7, 8]) for _ in range(3)))


def line_of(work: Callable[[], object], kind: type[CacappError] = CacappError) -> str:
    with pytest.raises(kind) as caught:
        work()
    line = str(caught.value)
    assert line.startswith(f"'answer' {WHERE}"), line
    assert "\n" not in line
    return line.removeprefix(f"'answer' {WHERE}")


def test_right_answers_pass_unchanged() -> None:
    assert guard.prompt(built(lambda dapi: ONE), DAPI, None) is ONE
    assert guard.prompt(built(lambda dapi: Prompts.empty()), DAPI, 0.1).regions == ()
    assert guard.segment(built(lambda dapi, prompts: [SQUARE]), DAPI, ONE, None) == [SQUARE]
    assert guard.detect(built(lambda plane, nuclei: DOTS), DAPI, [SQUARE], None) is DOTS
    limits = {"min_area_um2": np.float64(3), "least": 1}
    assert guard.judge(built(lambda shapes: ["too small", None], lambda shapes: limits), SHAPES) == (
        ["too small", None],
        {"min_area_um2": 3.0, "least": 1.0},
    )


def test_points_and_boxes_may_lie_on_the_frames_border() -> None:
    corner = replace(ONE, points_xy=np.float32([[[-0.5, -0.5], [39.5, 29.5]]]), boxes_xyxy=np.float32([[-0.5, -0.5, 40, 30]]))
    assert guard.prompt(built(lambda dapi: corner), DAPI, None) is corner


def test_padding_points_may_lie_anywhere() -> None:
    padded = replace(ONE, points_xy=np.float32([[[6, 7], [-9, 999]]]), point_labels=np.int8([[1, -1]]))
    assert guard.prompt(built(lambda dapi: padded), DAPI, None) is padded


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "prompt() must return Prompts, got NoneType"),
        ([ONE], "prompt() must return Prompts, got list"),
        (replace(ONE, points_xy=None), "points_xy must be float32 of shape (any, any, 2), got NoneType"),
        (
            replace(ONE, points_xy=ONE.points_xy.astype(float)),
            "points_xy must be float32 of shape (any, any, 2), got float64 of shape (1, 2, 2)",
        ),
        (replace(ONE, points_xy=ONE.points_xy[0]), "got float32 of shape (2, 2)"),
        (replace(ONE, points_xy=ONE.points_xy[..., :1]), "got float32 of shape (1, 2, 1)"),
        (replace(ONE, points_xy=ONE.points_xy + np.float32(np.nan)), "points_xy holds NaN or infinity"),
        (replace(ONE, points_xy=ONE.points_xy + np.float32(34)), "points_xy lies outside the frame of 40 x 30 px"),
        (replace(ONE, points_xy=ONE.points_xy - np.float32(1)), "points_xy lies outside the frame of 40 x 30 px"),
        (replace(ONE, point_labels=np.int8([[1]])), "point_labels must be int8 of shape (1, 2), got int8 of shape (1, 1)"),
        (replace(ONE, point_labels=np.array([[1, 0]])), "point_labels must be int8 of shape (1, 2), got int64 of shape (1, 2)"),
        (replace(ONE, point_labels=np.int8([[2, 0]])), "point_labels must be 1 (object), 0 (background) or -1 (padding)"),
        (replace(ONE, boxes_xyxy=ONE.boxes_xyxy[:0]), "boxes_xyxy must be float32 of shape (1, 4), got float32 of shape (0, 4)"),
        (replace(ONE, boxes_xyxy=np.float32([[8, 6, 5, 10]])), "boxes_xyxy must have left < right and top < bottom"),
        (replace(ONE, boxes_xyxy=np.float32([[5, 6, 5, 10]])), "boxes_xyxy must have left < right and top < bottom"),
        (replace(ONE, boxes_xyxy=np.float32([[5, 6, 8, 31]])), "boxes_xyxy lies outside the frame of 40 x 30 px"),
        (replace(ONE, boxes_xyxy=np.float32([[5, 6, np.inf, 10]])), "boxes_xyxy holds NaN or infinity"),
        (replace(ONE, regions=(SQUARE, SQUARE)), "regions must be empty or one a prompt: 1 prompts, 2 regions"),
        (replace(ONE, regions=None), "regions must be a tuple of Instance, got NoneType"),
        (replace(ONE, regions=(np.ones((3, 3), bool),)), "regions[0] must be an Instance, got bool of shape (3, 3)"),
    ],
)
def test_wrong_prompts_are_refused(answer: object, words: str) -> None:
    assert words in line_of(lambda: guard.prompt(built(lambda dapi: answer), DAPI, None))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mask": np.ones((4, 3), np.uint8)}, "instances[1].mask must be a 2-D bool array, got uint8 of shape (4, 3)"),
        ({"mask": np.ones(12, bool)}, "instances[1].mask must be a 2-D bool array, got bool of shape (12,)"),
        ({"mask": None}, "instances[1].mask must be a 2-D bool array, got NoneType"),
        ({"mask": np.ones((3, 4), bool)}, "instances[1].mask has shape (3, 4), its box says (4, 3)"),
        ({"mask": np.zeros((4, 3), bool)}, "instances[1].mask is empty"),
        ({"bbox_xywh": (38, 6, 3, 4)}, "instances[1] lies outside the frame: box (38, 6, 3, 4), frame 40 x 30"),
        ({"bbox_xywh": (5, 27, 3, 4)}, "instances[1] lies outside the frame"),
        ({"bbox_xywh": (-1, 6, 3, 4)}, "instances[1] lies outside the frame"),
        ({"bbox_xywh": (0, 0, 0, 0), "mask": np.zeros((0, 0), bool)}, "instances[1] lies outside the frame"),
        ({"bbox_xywh": (5.0, 6.0, 3.0, 4.0)}, "instances[1].bbox_xywh must be four whole numbers"),
        ({"bbox_xywh": (5, 6)}, "instances[1].bbox_xywh must be four whole numbers"),
        ({"bbox_xywh": None}, "instances[1].bbox_xywh must be four whole numbers"),
        ({"score": 1.01}, "instances[1].score must be in [0, 1], got 1.01"),
        ({"score": -0.01}, "instances[1].score must be in [0, 1]"),
        ({"score": float("nan")}, "instances[1].score must be in [0, 1], got nan"),
        ({"score": None}, "instances[1].score must be in [0, 1], got None"),
    ],
)
def test_wrong_instances_are_refused(wrong: dict[str, Any], words: str) -> None:
    answer = [SQUARE, replace(SQUARE, **wrong)]
    assert words in line_of(lambda: guard.segment(built(lambda dapi, prompts: answer), DAPI, ONE, None))


@pytest.mark.parametrize("answer", [None, (SQUARE,), np.zeros((30, 40), np.int32)])
def test_instances_come_as_a_list(answer: object) -> None:
    line = line_of(lambda: guard.segment(built(lambda dapi, prompts: answer), DAPI, ONE, None))
    assert line.startswith("segment() must return a list of Instance, got ")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([None], "2 shapes, 1 answers"),
        ([None, None, None], "2 shapes, 3 answers"),
        (None, "judge() must return a list of 2 reasons, got NoneType"),
        (np.array([True, False]), "judge() must return a list of 2 reasons, got bool of shape (2,)"),
        ([None, ""], "a reason must be text or None, got ''"),
        ([None, " "], "a reason must be text or None, got ' '"),
        ([None, False], "a reason must be text or None, got False"),
    ],
)
def test_wrong_verdicts_are_refused(answer: object, words: str) -> None:
    assert words in line_of(lambda: guard.judge(built(lambda shapes: answer), SHAPES))


@pytest.mark.parametrize("limits", [{"area": float("nan")}, {"area": float("inf")}, {"area": "3"}, {"area": None}, {3: 3.0}, [3.0], None])
def test_limits_are_finite_numbers_by_name(limits: object) -> None:
    line = line_of(lambda: guard.judge(built(lambda shapes: [None, None], lambda shapes: limits), SHAPES))
    assert line.startswith("limits() must return finite numbers by name, got ")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "detect() must return Signals, got NoneType"),
        (DOTS.yx, "detect() must return Signals, got float32 of shape (2, 2)"),
        (replace(DOTS, yx=None), "yx must be float32 of shape (any, 2), got NoneType"),
        (replace(DOTS, yx=DOTS.yx.astype(float)), "yx must be float32 of shape (any, 2), got float64"),
        (replace(DOTS, yx=DOTS.yx.ravel()), "yx must be float32 of shape (any, 2), got float32 of shape (4,)"),
        (replace(DOTS, yx=DOTS.yx[:, ::-1]), "yx lies outside the frame of 40 x 30 px"),
        (replace(DOTS, yx=DOTS.yx * np.float32(np.nan)), "yx holds NaN or infinity"),
        (replace(DOTS, snr=DOTS.snr.astype(np.float64)), "snr must be float32 of shape (2,), got float64 of shape (2,)"),
        (replace(DOTS, snr=DOTS.snr[:1]), "snr must be float32 of shape (2,), got float32 of shape (1,)"),
        (replace(DOTS, amplitude=np.float32([1, np.inf])), "amplitude holds NaN or infinity"),
        (replace(DOTS, sigma_px=[1.0, 2.0]), "sigma_px must be float32 of shape (2,), got list"),
    ],
)
def test_wrong_signals_are_refused(answer: object, words: str) -> None:
    assert words in line_of(lambda: guard.detect(built(lambda plane, nuclei: answer), DAPI, [SQUARE], None))


def write(array: Array) -> None:
    array[...] = 0


def write_by_force(array: Array) -> None:
    array.flags.writeable = True
    array[...] = 0


@pytest.mark.parametrize(("how", "words"), [(write, "tried to change its input"), (write_by_force, "changed its input")])
def test_an_algorithm_that_writes_on_what_it_is_given_is_caught(how: Callable[[Array], None], words: str) -> None:
    def spoil(part: Callable[..., Array], answer: object) -> Any:
        def give(*given: Any) -> object:
            how(part(*given))
            return answer

        return built(give)

    def fresh() -> Instance:
        return replace(SQUARE, mask=SQUARE.mask.copy())

    def prompts() -> Prompts:
        return replace(ONE, points_xy=ONE.points_xy.copy(), regions=(fresh(),))

    cases = [
        lambda: guard.prompt(spoil(lambda dapi: dapi, ONE), DAPI.copy(), None),
        lambda: guard.segment(spoil(lambda dapi, _: dapi, []), DAPI.copy(), prompts(), None),
        lambda: guard.segment(spoil(lambda _, given: given.points_xy, []), DAPI, prompts(), None),
        lambda: guard.segment(spoil(lambda _, given: given.regions[0].mask, []), DAPI, prompts(), None),
        lambda: guard.judge(spoil(lambda shapes: shapes.area_px, [None, None]), replace(SHAPES, area_px=SHAPES.area_px.copy())),
        lambda: guard.detect(spoil(lambda plane, _: plane, DOTS), DAPI.copy(), [SQUARE], None),
        lambda: guard.detect(spoil(lambda _, nuclei: nuclei[0].mask, DOTS), DAPI, [fresh()], None),
    ]
    for case in cases:
        line = line_of(case)
        assert words in line
        assert line.endswith("it must work on a copy")


def test_a_copy_may_be_changed_at_will() -> None:
    def give(dapi: Array) -> Prompts:
        own = dapi.copy()
        own[...] = 0
        return ONE

    assert guard.prompt(built(give), DAPI, None) is ONE


def test_an_image_that_is_not_contiguous_is_given_as_it_is() -> None:
    seen = []
    guard.prompt(built(lambda dapi: seen.append(dapi) or ONE), np.zeros((60, 80), np.uint8)[::2, ::2], None)
    assert seen[0].shape == (30, 40)
    assert seen[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA\n  is gone"), "failed: RuntimeError: CUDA is gone"),
        (NotImplementedError(), "failed: NotImplementedError"),
        (AssertionError(), "failed: AssertionError"),
        (SystemExit(1), "failed: SystemExit: 1"),
        (MemoryError(), "ran out of memory"),
        (CacappError("weights are missing; run: acme fetch"), "weights are missing; run: acme fetch"),
    ],
)
def test_an_algorithm_that_raises_is_named_and_the_line_of_its_own_code(error: BaseException, expected: str) -> None:
    def give(*given: Any) -> Any:
        raise error

    if not isinstance(error, CacappError):
        expected += f", at tests/host/test_guard.py:{give.__code__.co_firstlineno + 1} in give"
    assert line_of(lambda: guard.prompt(built(give), DAPI, None)) == expected
    assert line_of(lambda: guard.segment(built(give), DAPI, ONE, None)) == expected
    assert line_of(lambda: guard.judge(built(give), SHAPES)) == expected
    assert line_of(lambda: guard.judge(built(lambda shapes: [None, None], give), SHAPES)) == expected
    assert line_of(lambda: guard.detect(built(give), DAPI, [SQUARE], None)) == expected


def test_a_usage_error_stays_one() -> None:
    def give(*given: Any) -> Any:
        raise UsageError("no such model")

    assert line_of(lambda: guard.prompt(built(give), DAPI, None), UsageError) == "no such model"


def test_an_interrupt_is_the_users_and_passes() -> None:
    def give(*given: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guard.prompt(built(give), DAPI, None)
