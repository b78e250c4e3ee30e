"""Versions on disk: a whole one is loaded, anything else is refused with the name of the file."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from generator import Manifest, Vocabulary, WeightsError
from generator.weights.manifest import METRICS, CorpusNote
from generator.weights.versions import activate, add_version, current_version, load_weights

AddVersion = Callable[[Path, str, int], Path]

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
MANIFESTS = st.builds(
    Manifest,
    format=st.just(1),
    version=TEXT,
    architecture=TEXT,
    preset=TEXT,
    parameters=st.integers(0, 10**15),
    vocabulary=st.builds(Vocabulary, st.lists(st.characters(codec="utf-8"), min_size=1, unique=True).map("".join)),
    corpus=st.builds(CorpusNote, TEXT, st.integers(0, 10**15), TEXT),
    split=TEXT,
    training=st.dictionaries(TEXT, JSON, max_size=3),
    metrics=st.fixed_dictionaries({name: st.floats(0, 64) for name in METRICS}),
    files=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_-]{1,20}\.[a-z]{1,4}", fullmatch=True), DIGESTS, max_size=3
    ).flatmap(lambda files: DIGESTS.map(lambda digest: {**files, "model.onnx": digest})),
    license=TEXT,
    lowercase=st.booleans(),
    hard_wrapped=st.booleans(),
    ends_at_lines=st.booleans(),
    sentence_length=st.integers(0, 10_000),
)


def edit_manifest(version: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes the manifest as someone with an editor would: what `change` returns, or what it did in place."""
    path = version / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    result = change(content)
    path.write_text(json.dumps(content if result is None else result), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- a whole version ------------------------------------------------------------------------------------------------


def test_a_whole_version_is_loaded(tiny_folder: Path) -> None:
    weights = load_weights(tiny_folder)
    assert weights.folder == tiny_folder / "tiny-1"
    assert weights.manifest.version == "tiny-1"
    model = (weights.folder / "model.onnx").read_bytes()
    assert hashlib.sha256(model).hexdigest() == weights.manifest.files["model.onnx"]


def test_a_version_can_be_loaded_by_name_whatever_is_current(tiny_folder: Path, add_tiny_version: AddVersion) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    assert load_weights(tiny_folder).manifest.version == "tiny-1"
    assert load_weights(tiny_folder, "tiny-2").manifest.version == "tiny-2"


def test_a_manifest_of_the_contract_s_keys_alone_is_enough(tiny_folder: Path) -> None:
    optional = {"lowercase", "hard_wrapped", "ends_at_lines", "sentence_length"}
    edit_manifest(tiny_folder / "tiny-1", lambda content: {k: content[k] for k in content.keys() - optional})
    manifest = load_weights(tiny_folder).manifest
    assert (manifest.lowercase, manifest.hard_wrapped) == (False, False)


def test_a_key_that_this_program_does_not_know_is_passed_over(tiny_folder: Path) -> None:
    edit_manifest(tiny_folder / "tiny-1", lambda content: content.update(comment="made on a Tuesday"))
    assert load_weights(tiny_folder).manifest.version == "tiny-1"


# ---- a version that is not whole ------------------------------------------------------------------------------------


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap_files(version: Path) -> None:
    (version / "model.onnx").rename(version / "aside")
    (version / "weights.safetensors").rename(version / "model.onnx")
    (version / "aside").rename(version / "weights.safetensors")


def link_elsewhere(path: Path) -> None:
    """The same bytes, but by a link: what was verified could be exchanged under it."""
    elsewhere = path.parents[2] / path.name
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def manifest_of(content: bytes) -> Callable[[Path], Any]:
    return lambda version: (version / "manifest.json").write_bytes(content)


def manifest_with(**changes: Any) -> Callable[[Path], Any]:
    return lambda version: edit_manifest(version, lambda content: content.update(changes))


def hash_of_model(digest: Any) -> Callable[[Path], Any]:
    return lambda version: edit_manifest(version, lambda content: content["files"].update({"model.onnx": digest}))


def model_not_listed(version: Path) -> None:
    edit_manifest(version, lambda c: {**c, "files": {"weights.safetensors": c["files"]["weights.safetensors"]}})


DAMAGE: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a missing model": ("model.onnx", lambda v: (v / "model.onnx").unlink()),
    "a missing file beside it": ("weights.safetensors", lambda v: (v / "weights.safetensors").unlink()),
    "a changed byte in the model": ("model.onnx", lambda v: flip_byte(v / "model.onnx")),
    "a changed byte in a file beside it": ("weights.safetensors", lambda v: flip_byte(v / "weights.safetensors")),
    "a truncated model": ("model.onnx", lambda v: truncate(v / "model.onnx")),
    "an empty model": ("model.onnx", lambda v: (v / "model.onnx").write_bytes(b"")),
    "two files swapped": ("", swap_files),
    "a model that is a link": ("model.onnx", lambda v: link_elsewhere(v / "model.onnx")),
    "a file beside it that is a link": ("weights.safetensors", lambda v: link_elsewhere(v / "weights.safetensors")),
    "a model that is a folder": ("model.onnx", lambda v: make_folder(v / "model.onnx")),
    "a missing manifest": ("manifest.json", lambda v: (v / "manifest.json").unlink()),
    "a manifest that is a folder": ("manifest.json", lambda v: make_folder(v / "manifest.json")),
    "a truncated manifest": ("manifest.json", lambda v: truncate(v / "manifest.json")),
    "an empty manifest": ("manifest.json", manifest_of(b"")),
    "no JSON": ("manifest.json", manifest_of(b"version: tiny-1\n")),
    "no UTF-8": ("manifest.json", manifest_of(b'{"format": 1, "version": "\xff"}')),
    "a JSON list": ("manifest.json", lambda v: edit_manifest(v, lambda content: [content])),
    "JSON null": ("manifest.json", manifest_of(b"null")),
    "JSON nested too deep to read": ("manifest.json", manifest_of(b"[" * 100_000)),
    "an oversized manifest": ("manifest.json", manifest_with(license="x" * (1 << 20))),
    "format 2": ("manifest.json", manifest_with(format=2)),
    "no format": ("manifest.json", lambda v: edit_manifest(v, lambda c: {k: c[k] for k in c if k != "format"})),
    "another version's manifest": ("manifest.json", manifest_with(version="tiny-2")),
    "a vocabulary with a character twice": ("manifest.json", manifest_with(vocabulary="abca")),
    "an empty vocabulary": ("manifest.json", manifest_with(vocabulary="")),
    "no model among the files": ("manifest.json", model_not_listed),
    "a hash that is no hash": ("manifest.json", hash_of_model("0" * 63)),
    "a hash in capitals": ("manifest.json", hash_of_model("A" * 64)),
    "a hash that is a number": ("manifest.json", hash_of_model(0)),
}


@pytest.mark.parametrize(("file", "damage"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_version_that_is_not_whole_is_refused_and_the_file_named(
    tiny_folder: Path, file: str, damage: Callable[[Path], Any]
) -> None:
    damage(tiny_folder / "tiny-1")
    with pytest.raises(WeightsError) as caught:
        load_weights(tiny_folder)
    assert str(tiny_folder / "tiny-1" / file) in str(caught.value)


MANIFEST_KEYS = [
    "version", "architecture", "preset", "parameters", "vocabulary", "corpus", "split", "training", "metrics", "files",
    "license", "corpus.name", "corpus.characters", "corpus.sha256", *(f"metrics.{name}" for name in METRICS),
]  # fmt: skip


@pytest.mark.parametrize("key", MANIFEST_KEYS)
@pytest.mark.parametrize("value", [None, "absent", True, [1]], ids=repr)
def test_a_manifest_with_a_key_missing_or_of_the_wrong_type_names_the_key(
    tiny_folder: Path, key: str, value: Any
) -> None:
    def change(content: dict[str, Any]) -> None:
        *outer, last = key.split(".")
        place = content[outer[0]] if outer else content
        if value == "absent":
            del place[last]
        else:
            place[last] = value

    edit_manifest(tiny_folder / "tiny-1", change)
    with pytest.raises(WeightsError) as caught:
        load_weights(tiny_folder)
    assert str(tiny_folder / "tiny-1" / "manifest.json") in str(caught.value)
    assert key.rpartition(".")[2] in str(caught.value)


@pytest.mark.parametrize("key", ["lowercase", "hard_wrapped", "ends_at_lines"])
def test_a_flag_that_is_no_boolean_is_refused(tiny_folder: Path, key: str) -> None:
    edit_manifest(tiny_folder / "tiny-1", lambda content: content.update({key: 1}))
    with pytest.raises(WeightsError, match=key):
        load_weights(tiny_folder)


@pytest.mark.parametrize(
    "name",
    [
        "../tiny-2/model.onnx", "../../secret", "/etc/hostname", "./model.onnx", "a/b", "a/", "", ".", "..", "a\0b",
        "manifest.json",
    ],
    ids=repr,
)  # fmt: skip
def test_a_manifest_can_name_no_file_outside_its_folder(
    tiny_folder: Path, add_tiny_version: AddVersion, name: str
) -> None:
    """Also where the file that it points at is there and has that hash."""
    add_tiny_version(tiny_folder, "tiny-2", 2)
    (tiny_folder.parent / "secret").write_bytes(b"secret")
    try:
        digest = hashlib.sha256((tiny_folder / "tiny-1" / name).read_bytes()).hexdigest()
    except (OSError, ValueError):
        digest = "0" * 64
    edit_manifest(tiny_folder / "tiny-1", lambda content: content["files"].update({name: digest}))
    with pytest.raises(WeightsError) as caught:
        load_weights(tiny_folder)
    assert str(tiny_folder / "tiny-1") in str(caught.value)


# ---- CURRENT --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n", b".", b"..", b"../weights/tiny-1", b"tiny-1/", b"./tiny-1", b"tiny-1/../tiny-1", b"/", b"/etc",
        b"tiny-1\ntiny-1\n", b"tiny 1", b".incoming-x", b"-tiny-1", b"tiny-1\0", b"\xff\xfe", b"\xef\xbb\xbftiny-1",
        b"x" * 101, b"C:\\tiny-1", "tiny-１".encode(),
    ],
    ids=repr,
)  # fmt: skip
def test_a_current_that_names_no_version_is_refused(tiny_folder: Path, content: bytes) -> None:
    (tiny_folder / "CURRENT").write_bytes(content)
    for read in (current_version, load_weights):
        with pytest.raises(WeightsError) as caught:
            read(tiny_folder)
        assert str(tiny_folder / "CURRENT") in str(caught.value)


def test_a_missing_current_is_named(tiny_folder: Path) -> None:
    (tiny_folder / "CURRENT").unlink()
    with pytest.raises(WeightsError, match="CURRENT"):
        load_weights(tiny_folder)


def test_a_current_that_names_a_version_which_is_not_there_names_its_manifest(tiny_folder: Path) -> None:
    (tiny_folder / "CURRENT").write_text("tiny-9\n")
    with pytest.raises(WeightsError) as caught:
        load_weights(tiny_folder)
    assert str(tiny_folder / "tiny-9" / "manifest.json") in str(caught.value)


@pytest.mark.parametrize("content", ["tiny-1", "tiny-1\n", "tiny-1\r\n", "  tiny-1  \n\n"], ids=repr)
def test_a_current_written_by_hand_may_have_white_space_around_it(tiny_folder: Path, content: str) -> None:
    (tiny_folder / "CURRENT").write_text(content, newline="")
    assert current_version(tiny_folder) == "tiny-1"


@pytest.mark.parametrize("version", ["../weights/tiny-1", "tiny-1/", "", ".", "tiny-1\n"], ids=repr)
def test_a_version_asked_for_by_name_must_be_a_name(tiny_folder: Path, version: str) -> None:
    with pytest.raises(WeightsError, match="not the name of a version"):
        load_weights(tiny_folder, version)
    with pytest.raises(WeightsError, match="not the name of a version"):
        activate(tiny_folder, version)


# ---- a new version --------------------------------------------------------------------------------------------------


def recipe(folder: Path, version: str) -> tuple[dict[str, bytes], Manifest]:
    """What another version would be made of: the current one's files and manifest under another name."""
    weights = load_weights(folder)
    files = {name: (weights.folder / name).read_bytes() for name in weights.manifest.files}
    return files, replace(weights.manifest, version=version)


def test_a_new_version_is_added_beside_the_current_one(tiny_folder: Path) -> None:
    files, manifest = recipe(tiny_folder, "tiny-2")
    before = contents(tiny_folder)
    place = add_version(tiny_folder, files, manifest)
    assert place == tiny_folder / "tiny-2"
    assert contents(place).keys() == {"manifest.json", "model.onnx", "weights.safetensors"}
    assert load_weights(tiny_folder, "tiny-2").manifest == manifest
    assert {name: content for name, content in contents(tiny_folder).items() if name in before} == before


def test_the_weights_folder_is_made_when_it_is_not_there(tiny_folder: Path, tmp_path: Path) -> None:
    files, manifest = recipe(tiny_folder, "tiny-2")
    add_version(tmp_path / "new" / "weights", files, manifest)
    activate(tmp_path / "new" / "weights", "tiny-2")
    assert load_weights(tmp_path / "new" / "weights").manifest == manifest


def test_a_version_that_exists_is_never_overwritten(tiny_folder: Path) -> None:
    files, manifest = recipe(tiny_folder, "tiny-1")
    before = contents(tiny_folder)
    with pytest.raises(WeightsError, match=r"tiny-1.*exists"):
        add_version(tiny_folder, files, replace(manifest, license="another"))
    assert contents(tiny_folder) == before


def test_a_version_whose_files_are_not_what_its_manifest_says_is_not_added(tiny_folder: Path) -> None:
    files, manifest = recipe(tiny_folder, "tiny-2")
    before = contents(tiny_folder)
    wrong = [
        ({**files, "model.onnx": files["model.onnx"][:-1]}, "model.onnx"),
        ({"model.onnx": files["model.onnx"]}, "weights.safetensors"),
    ]
    for given_files, named in wrong:
        with pytest.raises(WeightsError, match=named):
            add_version(tiny_folder, given_files, manifest)
        assert contents(tiny_folder) == before
        assert [path.name for path in tiny_folder.iterdir() if path.is_dir()] == ["tiny-1"]


def test_a_disk_that_refuses_half_way_leaves_nothing(tiny_folder: Path) -> None:
    """The limit on the size of a file lets the small ones through and stops the model."""
    files, manifest = recipe(tiny_folder, "tiny-2")
    before = contents(tiny_folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(files["model.onnx"]) - 1, hard))
    try:
        with pytest.raises(OSError, match=r"[Ff]ile too large"):
            add_version(tiny_folder, {"a.txt": b"small", **files}, manifest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(tiny_folder) == before
    assert sorted(path.name for path in tiny_folder.iterdir()) == ["CURRENT", "tiny-1"]


@pytest.mark.parametrize("name", ["../tiny-2", ".tiny-2", "tiny 2", ""], ids=repr)
def test_a_version_of_an_impossible_name_leaves_nothing(tiny_folder: Path, name: str) -> None:
    files, manifest = recipe(tiny_folder, name)
    before = contents(tiny_folder.parent)
    with pytest.raises(WeightsError):
        add_version(tiny_folder, files, manifest)
    assert contents(tiny_folder.parent) == before


def test_what_a_killed_writer_left_behind_disturbs_nobody(tiny_folder: Path) -> None:
    left = tiny_folder / ".incoming-killed" / "tiny-2"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{")
    files, manifest = recipe(tiny_folder, "tiny-2")
    add_version(tiny_folder, files, manifest)
    activate(tiny_folder, "tiny-2")
    assert load_weights(tiny_folder).manifest == manifest


def test_activating_a_version_makes_it_current_and_leaves_nothing_else(
    tiny_folder: Path, add_tiny_version: AddVersion
) -> None:
    add_tiny_version(tiny_folder, "tiny-2", 2)
    before = contents(tiny_folder)
    activate(tiny_folder, "tiny-2")
    assert current_version(tiny_folder) == "tiny-2"
    assert contents(tiny_folder) == {**before, "CURRENT": b"tiny-2\n"}


def test_activating_a_bad_version_is_refused_and_current_stays(tiny_folder: Path, add_tiny_version: AddVersion) -> None:
    flip_byte(add_tiny_version(tiny_folder, "tiny-2", 2) / "model.onnx")
    before = contents(tiny_folder)
    for version, named in (("tiny-2", "model.onnx"), ("tiny-3", "manifest.json")):
        with pytest.raises(WeightsError, match=named):
            activate(tiny_folder, version)
        assert contents(tiny_folder) == before


# ---- the manifest ---------------------------------------------------------------------------------------------------


@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_holds_the_contract_s_keys_for_other_programs(tiny_folder: Path) -> None:
    content = json.loads((tiny_folder / "tiny-1" / "manifest.json").read_text(encoding="utf-8"))
    assert content["format"] == 1
    assert isinstance(content["vocabulary"], str)
    assert content["corpus"].keys() == {"name", "characters", "sha256"}
    assert content.keys() >= {key for key in MANIFEST_KEYS if "." not in key}
    assert content["metrics"].keys() >= {
        "valid_bits_per_character",
        "test_bits_per_character",
        "float_valid_bits_per_character",
        "float_test_bits_per_character",
    }
