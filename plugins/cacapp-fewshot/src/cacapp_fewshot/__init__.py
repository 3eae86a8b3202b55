"""Prompter plugin for cacapp: all objects similar to a few examples, after MedLSAM (Lei et al. 2024), in two dimensions."""

from cacapp import Prompter, hookimpl


@hookimpl
def cacapp_prompters() -> list[type[Prompter]]:
    from cacapp_fewshot.prompter import FewShot

    return [FewShot]
