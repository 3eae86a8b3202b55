"""The registry says what is known, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from cacapp.exceptions import UsageError
from cacapp.weights.digest import sha256_of
from cacapp.weights.registry import REGISTRY, Entry, entries, find

UNDIGESTED = {"cellpose-nuclei", "cellpose-cyto3"}
"""No digest or size of these files is published: those of the first download are recorded."""

FIELDS = {"name": "x", "architecture": "vit_b", "description": "", "file": "x.pth", "licence": "MIT", "licence_url": "https://x"}


def test_the_models_of_the_paper_and_ours_are_known() -> None:
    assert [name for name in entries() if name not in UNDIGESTED] == [
        "vit_b",
        "vit_l",
        "vit_h",
        "medsam",
        "nuclei_t",
        "dense-nuclei",
        "maskrcnn-nuclei",
    ]
    assert find("medsam").architecture == "vit_b"


def test_every_registered_download_has_a_secure_source_a_full_digest_a_size_and_a_licence() -> None:
    for entry in entries().values():
        assert entry.licence
        assert entry.licence_url.startswith("https://")
        if not entry.embedded:
            assert str(entry.url).startswith("https://")
            assert str(entry.url).endswith(f"/{entry.file}")
            if entry.name in UNDIGESTED:
                assert entry.sha256 is None
                continue
            assert len(str(entry.sha256)) == 64
            assert entry.size_bytes


def test_files_and_digests_are_not_shared() -> None:
    known = entries().values()
    assert len({e.file for e in known}) == len(known)
    pulled = [e.sha256 for e in known if e.sha256]
    assert len(set(pulled)) == len(pulled)


def test_an_embedded_file_is_the_one_its_digest_names() -> None:
    for entry in entries().values():
        path = REGISTRY.with_name(entry.file)
        if entry.embedded and entry.sha256 and path.is_file():
            assert sha256_of(path) == entry.sha256
            assert path.stat().st_size < 12_000_000


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no weights named 'vit_x'; there are vit_b, vit_l, vit_h, medsam, nuclei_t"):
        find("vit_x")


def test_a_published_digest_is_compared_and_no_digest_says_nothing() -> None:
    assert Entry(**FIELDS, url="https://x/x.pth", sha256="01ab23" + "0" * 58).matches("01ab23" + "0" * 58) is True
    assert Entry(**FIELDS, url="https://x/x.pth", sha256="01ab23" + "0" * 58).matches("01ab24" + "0" * 58) is False
    assert Entry(**FIELDS, url="https://x/x.pth").matches("0" * 64) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": "https://x", "embedded": True},
        {"url": "https://x", "sha256": "01AB23" + "0" * 58},
        {"url": "https://x", "sha256": "01ab23"},
        {"url": "https://x", "file": "../x.pth"},
    ],
    ids=["no source", "embedded with a source", "no hex", "a part of a digest", "a path"],
)
def test_an_entry_that_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Entry.model_validate(FIELDS | wrong)


def test_sha256_is_the_published_test_vector(tmp_path: Path) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_shipped_weights_are_complete_and_small() -> None:
    embedded = [entry for entry in entries().values() if entry.embedded]
    for entry in embedded:
        path = REGISTRY.with_name(entry.file)
        assert (path.stat().st_size, sha256_of(path)) == (entry.size_bytes, entry.sha256)
        assert path.with_suffix(".md").is_file()  # its model card
    assert (find("nuclei_t").size_bytes or 0) < 12e6
    assert sum(entry.size_bytes or 0 for entry in embedded) < 20e6
