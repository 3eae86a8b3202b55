"""Parameters are declared once: listed, assigned and checked from there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator

from cacapp.api import Field, Prompter, Segmenter
from cacapp.exceptions import CacappError, UsageError
from cacapp.hookspecs import hookimpl
from cacapp.host import Host, Parameter, assign, parameters


class Seeds(Prompter):
    """Seeds."""

    name: ClassVar[str] = "seeds"
    api_version: ClassVar[int] = 1

    size_um: float = Field(2.0, gt=0, le=50, description="size, µm")
    steps: int = Field(3, ge=1, lt=10, description="steps")
    mode: Literal["fast", "fine"] = Field("fast", description="how")
    limit: float | None = Field(None, ge=0, description="limit, or none")
    smooth: bool = Field(True, description="smooth first")
    weights: tuple[float, ...] = Field((1.0,), description="weights")


class Net(Segmenter):
    """A net."""

    name: ClassVar[str] = "net"
    api_version: ClassVar[int] = 1

    size_um: float = Field(8.0, gt=0, description="size, µm")
    low: float = Field(0.0, description="low")
    high: float = Field(1.0, description="high")

    @model_validator(mode="after")
    def ordered(self) -> Net:
        if self.low > self.high:
            raise ValueError("low must not\nexceed high")
        return self


class Stubborn(Prompter):
    """Cannot be made."""

    name: ClassVar[str] = "stubborn"
    api_version: ClassVar[int] = 1

    def model_post_init(self, context: object) -> None:
        raise RuntimeError("no GPU")


@pytest.fixture
def host() -> Host:
    made = Host()
    offered = SimpleNamespace(
        cacapp_prompters=hookimpl(lambda: [Seeds, Stubborn]),
        cacapp_segmenters=hookimpl(lambda: [Net]),
    )
    made.register(offered, "mine", "acme-fish", "1.2")
    return made


def test_without_settings_the_defaults_hold(host: Host) -> None:
    assert host.build("prompter", "seeds") == Seeds()


def test_settings_become_parameters(host: Host) -> None:
    built = host.build("prompter", "seeds", {"size_um": 3, "mode": "fine", "limit": 0})
    assert built == Seeds(size_um=3.0, mode="fine", limit=0.0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"size": 1}, "size: unknown parameter; it has size_um, steps, mode, limit, smooth, weights"),
        ({"size_um": 0}, "size_um: input should be greater than 0, got 0"),
        ({"size_um": 51}, "size_um: input should be less than or equal to 50, got 51"),
        ({"size_um": "large"}, "size_um: input should be a valid number"),
        ({"size_um": float("nan")}, "size_um: input should be a finite number, got nan"),
        ({"size_um": float("inf")}, "size_um: input should be"),
        ({"size_um": None}, "size_um: input should be a valid number, got None"),
        ({"steps": 2.5}, "steps: input should be a valid integer"),
        ({"mode": "slow"}, "mode: input should be 'fast' or 'fine', got 'slow'"),
        ({"weights": [1, "b"]}, "weights.1: input should be a valid number"),
    ],
)
def test_a_wrong_parameter_is_one_line_naming_plugin_and_parameter(host: Host, params: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        host.build("prompter", "seeds", params)
    line = str(caught.value)
    assert line.startswith("prompter 'seeds' (plugin 'mine' of acme-fish 1.2): ")
    assert words in line
    assert "cacapp plugins show seeds" in line
    assert "\n" not in line


def test_parameters_that_contradict_each_other_are_one_line(host: Host) -> None:
    with pytest.raises(UsageError) as caught:
        host.build("segmenter", "net", {"low": 2, "high": 1})
    assert "low must not exceed high" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_algorithm_that_cannot_be_made_is_named(host: Host) -> None:
    failure = r"RuntimeError: no GPU, at tests/host/test_parameters\.py:\d+ in model_post_init$"
    with pytest.raises(CacappError, match=rf"prompter 'stubborn' \(plugin 'mine' of acme-fish 1\.2\) cannot be built: {failure}"):
        host.build("prompter", "stubborn")


def test_parameters_are_listed_with_type_default_bounds_and_description() -> None:
    assert parameters(Seeds) == [
        Parameter("size_um", "number", 2.0, "> 0, ≤ 50", "size, µm"),
        Parameter("steps", "integer", 3, "≥ 1, < 10", "steps"),
        Parameter("mode", "one of fast, fine", "fast", "", "how"),
        Parameter("limit", "number or none", None, "≥ 0", "limit, or none"),
        Parameter("smooth", "boolean", True, "", "smooth first"),
        Parameter("weights", "array", (1.0,), "", "weights"),
    ]


def test_every_built_in_parameter_has_a_unit_or_says_what_it_is() -> None:
    for found in Host.discover().algorithms():
        for parameter in parameters(found.cls):
            assert parameter.description, (found.name, parameter.name)
            assert parameter.type != "value", (found.name, parameter.name)


def test_name_equals_value_goes_to_the_one_that_has_it(host: Host) -> None:
    chosen = [host.find("prompter", "seeds"), host.find("segmenter", "net")]
    assert assign(["steps=4", " high = 2.5 ", "mode=fine"], chosen) == {"seeds": {"steps": 4, "mode": "fine"}, "net": {"high": 2.5}}


def test_a_shared_name_needs_its_algorithm(host: Host) -> None:
    chosen = [host.find("prompter", "seeds"), host.find("segmenter", "net")]
    assert assign(["net.size_um=9", "seeds.size_um=3"], chosen) == {"seeds": {"size_um": 3}, "net": {"size_um": 9}}
    with pytest.raises(UsageError, match=r"several algorithms have 'size_um'; write seeds\.size_um or net\.size_um"):
        assign(["size_um=9"], chosen)


@pytest.mark.parametrize("text", ["steps", "", "=3", " =3", "steps:3"])
def test_a_setting_without_name_or_value_is_refused(host: Host, text: str) -> None:
    with pytest.raises(UsageError, match=r"write it as name=value or algorithm[.]name=value"):
        assign([text], [host.find("prompter", "seeds")])


@pytest.mark.parametrize("text", ["depth=3", "net.steps=3", "other.steps=3"])
def test_a_setting_nobody_has_is_answered_with_what_there_is(host: Host, text: str) -> None:
    with pytest.raises(UsageError, match=r"no chosen algorithm has the parameter .*seeds: size_um, steps") as caught:
        assign([text], [host.find("prompter", "seeds"), host.find("segmenter", "net")])
    assert text.split("=")[0] in str(caught.value)


def test_values_are_json_where_they_are_json_and_may_hold_an_equals_sign(host: Host) -> None:
    chosen = [host.find("prompter", "seeds")]
    read = assign(["limit=null", "smooth=false", "weights=[1, 2]", "mode=a=b"], chosen)["seeds"]
    assert read == {"limit": None, "smooth": False, "weights": [1, 2], "mode": "a=b"}


def test_the_last_setting_of_a_parameter_holds(host: Host) -> None:
    assert assign(["steps=4", "steps=5"], [host.find("prompter", "seeds")]) == {"seeds": {"steps": 5}}


@given(st.floats(min_value=1e-6, max_value=50, allow_nan=False))
def test_a_number_survives_the_command_line(value: float) -> None:
    host = Host()
    host.register(SimpleNamespace(cacapp_prompters=hookimpl(lambda: [Seeds])), "mine")
    params = assign([f"size_um={value!r}"], [host.find("prompter", "seeds")])["seeds"]
    assert host.build("prompter", "seeds", params) == Seeds(size_um=value)
