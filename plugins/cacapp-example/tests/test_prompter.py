"""Prompter ``example-prompter``: the contract of all prompters, and tests of this one."""

from __future__ import annotations

from cacapp.testing import PrompterContract
from cacapp.testing.scenes import drawn

from cacapp_example.prompter import ExamplePrompter


class TestExamplePrompter(PrompterContract):
    algorithm = ExamplePrompter


def test_an_object_smaller_than_a_nucleus_gets_no_prompt() -> None:
    scene = drawn("a nucleus and a speck", (160, 200), [(80, 60)])
    image = scene.image.copy()
    image[78:83, 150:155] = 3000
    assert len(ExamplePrompter().prompt(image, scene.pixel_size_um)) == 1
    assert len(ExamplePrompter(min_diameter_um=0.5).prompt(image, scene.pixel_size_um)) == 2
