"""The contract suite of cacapp, with three boxes as examples."""

import pytest
from cacapp_fewshot.prompter import FewShot
from drawings import Drawn

from cacapp.testing import PrompterContract


class TestFewShot(PrompterContract):
    @pytest.fixture(autouse=True)
    def _shown(self, drawn: Drawn) -> None:
        type(self).algorithm = FewShot(examples=str(drawn.file), scale="frame", device="cpu")
