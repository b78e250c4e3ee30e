"""Weights made to do harm, or damaged by a download: refused by name, and the old ones serve on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import TINY_VOCABULARY, add_random_version, random_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper
from service_process import PATIENCE, Installation
from trapped_weights import endless

from generator import GenerationRequest, WeightsError
from generator.process import client
from generator.process.generator import ProcessGenerator
from generator.serving.loading import load_model
from generator.training.architectures import step_model
from generator.weights.versions import add_version, current_version, load_weights
from testing.telegram import TelegramServer

SYMBOLS = len(TINY_VOCABULARY)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Node = onnx.NodeProto
Damage = Callable[[onnx.ModelProto], None]


# ---- model.onnx -----------------------------------------------------------------------------------------------------


def a_model(seed: int = 1) -> onnx.ModelProto:
    """What `train.py` exports, to be bent."""
    return onnx.load_from_string(step_model(random_weights(seed), quantised=True))


def constant(model: onnx.ModelProto, name: str, value: Any, dtype: Any = np.float32) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
    return name


def also(*nodes: Node) -> Damage:
    """Computes something beside the step; nothing that it gives is used."""
    return lambda model: model.graph.node.extend(nodes)


def table_of_ten_gigabytes(model: onnx.ModelProto) -> None:
    table = next(tensor for tensor in model.graph.initializer if tensor.name == "table")
    table.dims[0] = 10**9


def outer(operator: str) -> Damage:
    def bend(model: onnx.ModelProto) -> None:
        high = constant(model, "high", np.zeros((1 << 16, 1)))
        wide = constant(model, "wide", np.zeros((1, 1 << 16)))
        model.graph.node.append(helper.make_node(operator, [high, wide], ["vast"]))

    return bend


def doubled_forty_times(model: onnx.ModelProto) -> None:
    name = constant(model, "double.0", np.zeros(64))
    for i in range(1, 40):
        model.graph.node.append(helper.make_node("Concat", [name, name], [f"double.{i}"], axis=0))
        name = f"double.{i}"


def state_of(*sizes: int) -> Damage:
    def bend(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            if value.name.endswith("state.0"):
                del value.type.tensor_type.shape.dim[1:]
                for size in sizes:
                    value.type.tensor_type.shape.dim.add().dim_value = size

    return bend


def hidden_in_an_attribute(model: onnx.ModelProto) -> None:
    """A graph inside an operator that is allowed."""
    inside = helper.make_graph([], "inside", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("axis", inside))


def function(model: onnx.ModelProto) -> None:
    """An operator of its own making, under the name of one that is allowed."""
    model.functions.append(helper.make_function("", "Identity", ["x"], ["y"], [], [helper.make_opsetid("", 21)]))


def another_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def opset(version: int) -> Damage:
    def bend(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = version

    return bend


def data_in(location: str) -> Damage:
    def bend(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="offset", value="0")

    return bend


def sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.zeros(1, np.float32), "sparse")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [10**10]))


def logits_of_another_shape(model: onnx.ModelProto) -> None:
    """Declared as they should be; computed as one column."""
    first, last = constant(model, "first", [0], np.int64), constant(model, "last", [1], np.int64)
    axis = constant(model, "axis", [1], np.int64)
    model.graph.node[-1].output[0] = "all.logits"
    model.graph.node.append(helper.make_node("Slice", ["all.logits", first, last, axis], ["logits"]))


def logits_without_a_batch(model: onnx.ModelProto) -> None:
    """As many rows as sizes are computed for, whatever is asked."""
    model.graph.node[-1].output[0] = "all.logits"
    fixed = constant(model, "fixed", np.zeros((64, SYMBOLS)))
    model.graph.node.append(helper.make_node("Identity", [fixed], ["logits"]))


def in_a_circle(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Add", ["snake", "snake"], ["tail"]))
    model.graph.node.append(helper.make_node("Identity", ["tail"], ["snake"]))


def step_without_end(model: onnx.ModelProto) -> None:
    """Counts to 2 ** 50 for every character."""
    for name, value, dtype in (("one", 1, np.int64), ("trap.long", 1 << 50, np.int64), ("trap.zero", 0, np.float32)):
        constant(model, name, value, dtype)
    model.graph.node[-1].output[0] = "all.logits"
    model.graph.node.extend(endless("one", "nothing"))
    model.graph.node.append(helper.make_node("Add", ["all.logits", "nothing"], ["logits"]))


def not_a_number(model: onnx.ModelProto) -> None:
    table = next(tensor for tensor in model.graph.initializer if tensor.name == "table")
    table.raw_data = np.full((SYMBOLS, table.dims[1]), np.nan, np.float32).tobytes()


def of_a_size(operator: str, inputs: list[str], sizes: list[int], **attributes: Any) -> Damage:
    def bend(model: onnx.ModelProto) -> None:
        inputs.append(constant(model, "sizes", sizes, np.int64))
        model.graph.node.append(helper.make_node(operator, inputs, ["vast"], **attributes))

    return bend


def vast_in_small_batches(model: onnx.ModelProto) -> None:
    """Nothing at all in the largest batch that is looked at, 10^9 numbers in a batch of one."""
    rows, many = constant(model, "rows", [64], np.int64), constant(model, "many", [1 << 24], np.int64)
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["char"], ["batch"]),
            helper.make_node("Sub", [rows, "batch"], ["missing"]),
            helper.make_node("Mul", ["missing", many], ["size"]),
            helper.make_node("ConstantOfShape", ["size"], ["vast"]),
        ]
    )


def division_that_ends_the_process(model: onnx.ModelProto) -> None:
    """The smallest integer has no opposite: the processor stops a process that asks for it."""
    least, minus = constant(model, "least", [-(1 << 63)], np.int64), constant(model, "minus", [-1], np.int64)
    model.graph.node.append(helper.make_node("Div", [least, minus], ["none"]))


VAST = helper.make_tensor("value", FLOAT, [1], [0.0])
HOSTILE: dict[str, Damage] = {
    "a table of 10^9 rows": table_of_ten_gigabytes,
    "ConstantOfShape": of_a_size("ConstantOfShape", [], [1 << 20, 1 << 12], value=VAST),
    "ConstantOfShape, told while it runs": also(helper.make_node("ConstantOfShape", ["char"], ["vast"], value=VAST)),
    "Expand, told while it runs": also(helper.make_node("Expand", ["state.0", "char"], ["vast"])),
    "Tile": of_a_size("Tile", ["state.0"], [1 << 20, 1 << 12]),
    "Reshape, told while it runs": also(helper.make_node("Reshape", ["state.0", "char"], ["vast"])),
    "a size that is vast in small batches": vast_in_small_batches,
    "a division that ends the process": division_that_ends_the_process,
    "a remainder of nobody knows what": also(helper.make_node("Mod", ["char", "char"], ["rest"])),
    "Range": also(helper.make_node("Range", ["char", "char", "char"], ["vast"])),
    "Pad": of_a_size("Pad", ["state.0"], [0, 1 << 40, 0, 0]),
    "a product of 2^32 numbers": outer("MatMul"),
    "a sum of 2^32 numbers": outer("Add"),
    "a tensor doubled forty times": doubled_forty_times,
    "a state of 10^9 numbers": state_of(10**9),
    "a graph in an attribute": hidden_in_an_attribute,
    "a function": function,
    "an operator of another domain": another_domain,
    "operators of the year 3000": opset(1 << 62),
    "data in /etc/passwd": data_in("/etc/passwd"),
    "data beyond the folder": data_in("../../secret"),
    "data in a device": data_in("/dev/zero"),
    "a sparse constant": sparse,
    "logits of another shape": logits_of_another_shape,
    "logits of a fixed batch": logits_without_a_batch,
    "a step in a circle": in_a_circle,
}


def bent(damage: Damage) -> bytes:
    model = a_model()
    damage(model)
    return bytes(model.SerializeToString())


def version_of(folder: Path, model: bytes, version: str = "hostile", **changes: Any) -> Path:
    """A version that is right in every other respect, hashes included; returns its folder."""
    weights = load_weights(folder, "tiny-1")
    files = {name: (weights.folder / name).read_bytes() for name in weights.manifest.files} | {"model.onnx": model}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return add_version(folder, files, replace(weights.manifest, version=version, files=digests, **changes))


async def test_a_hostile_model_is_refused_in_one_line_while_the_old_worker_serves(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LOAD_SECONDS", 20.0)
    async with ProcessGenerator.open(tiny_folder, threads=1) as generator:
        worker = generator.status().process_id
        for name, damage in HOSTILE.items():
            version = re.sub(r"\W", "-", name)
            version_of(tiny_folder, bent(damage), version)
            (tiny_folder / "CURRENT").write_text(version)
            with pytest.raises(WeightsError) as caught:
                await generator.reload()
            assert str(caught.value).startswith(f"{tiny_folder / version}"), name
            assert "\n" not in str(caught.value)
        assert (generator.status().process_id, generator.status().faults) == (worker, 0)
        assert (await generator.generate(GenerationRequest(10, 1))).version == "tiny-1"


async def test_a_model_whose_step_never_ends_is_refused_after_a_while(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ProcessGenerator.open(tiny_folder, threads=1) as generator:
        monkeypatch.setattr(client, "LOAD_SECONDS", 3.0)
        version_of(tiny_folder, bent(step_without_end))
        (tiny_folder / "CURRENT").write_text("hostile")
        with pytest.raises(WeightsError, match="hostile: it was not ready within 3 s"):
            await generator.reload()
        assert (await generator.generate(GenerationRequest(10, 1))).version == "tiny-1"


def test_what_only_shows_in_a_step_fails_the_self_test(tiny_folder: Path) -> None:
    path = version_of(tiny_folder, bent(not_a_number)) / "model.onnx"
    with pytest.raises(WeightsError) as caught:
        load_model(tiny_folder, "hostile")
    assert str(caught.value).startswith(f"{path}: self-test failed")


def test_what_train_py_exports_is_let_through(tiny_folder: Path) -> None:
    version_of(tiny_folder, bent(lambda _: None))
    assert load_model(tiny_folder, "hostile").version == "hostile"


async def test_a_model_with_any_bytes_changed_is_refused_or_serves(tiny_folder: Path) -> None:
    """As an attacker would change it who gives the new hash as well."""
    draw = random.Random(7)
    async with ProcessGenerator.open(tiny_folder, threads=1) as generator:
        for number in range(8):
            content = bytearray(bent(lambda _: None))
            for _ in range(draw.randint(1, 4)):
                # Not only in the constants, which are most of it.
                at = draw.choice((draw.randrange(len(content)), draw.randrange(1500)))
                content[at] = draw.randrange(256)
            version = f"changed-{number}"
            version_of(tiny_folder, bytes(content), version)
            (tiny_folder / "CURRENT").write_text(version)
            with contextlib.suppress(WeightsError):
                await generator.reload()
            assert await generator.generate(GenerationRequest(10, 1))
        assert generator.status().faults == 0


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    add_random_version(folder, "tiny-1", seed=1)
    return folder


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_and_any_truncation_is_refused(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    place = tmp_path / "tiny-1"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole / "tiny-1", place)
    name = data.draw(st.sampled_from(sorted(file.name for file in place.iterdir())))
    content = bytearray((place / name).read_bytes())
    cut = data.draw(st.booleans())
    at = data.draw(st.integers(0, len(content) - (2 if cut else 1)))  # a manifest may lack its last line end
    if cut:
        del content[at:]
    else:
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    (place / name).write_bytes(content)
    if name != "manifest.json" or cut:
        with pytest.raises(WeightsError) as caught:
            load_weights(tmp_path, "tiny-1")
        assert str(place / name) in str(caught.value)
        return
    # The manifest is what everything else is held against: a changed word in it may go unseen, a changed file may not.
    try:
        weights = load_weights(tmp_path, "tiny-1")
    except WeightsError:
        return
    assert (weights.folder / "model.onnx").read_bytes() == (whole / "tiny-1" / "model.onnx").read_bytes()


def edit(version: Path, **changes: Any) -> None:
    path = version / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


MANIFESTS: dict[str, dict[str, Any]] = {
    "a licence of a million words": {"license": "x" * 200_000},
    "a name of a thousand lines": {"corpus": {"name": "\n" * 2000, "characters": 1, "sha256": ""}},
    "bits that are no number": {"metrics": dict.fromkeys(("valid_bits_per_character", "test_bits_per_character",
        "float_valid_bits_per_character", "float_test_bits_per_character"), float("nan"))},
    "a negative number of parameters": {"parameters": -1},
    "10^400 parameters": {"parameters": 10**400},
    "a vocabulary of 100,000 characters": {"vocabulary": "".join(map(chr, range(0x20000, 0x20000 + 100_000)))},
}  # fmt: skip


@pytest.mark.parametrize("changes", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_of_senseless_size_is_refused(tiny_folder: Path, changes: dict[str, Any]) -> None:
    edit(tiny_folder / "tiny-1", **changes)
    with pytest.raises(WeightsError) as caught:
        load_weights(tiny_folder)
    assert str(tiny_folder / "tiny-1" / "manifest.json") in str(caught.value)
    assert len(str(caught.value)) < 500


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def sparse_file(path: Path) -> None:
    """Of 100 GB, none of which is on the disk."""
    os.truncate(path, 100_000_000_000)


def far_away(path: Path) -> None:
    elsewhere = path.parents[2] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


PLACES = {"CURRENT": "CURRENT"} | {name: f"tiny-1/{name}" for name in ("manifest.json", "model.onnx", "history.csv")}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("damage", [pipe, device, sparse_file, far_away], ids=lambda damage: damage.__name__)
def test_only_plain_files_of_a_sensible_size_are_read(
    tiny_folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    """None of these may be waited for, read to its end, or followed out of the folder."""
    history = tiny_folder / "tiny-1" / "history.csv"
    history.write_text("epoch\n1\n")
    edit(
        tiny_folder / "tiny-1",
        files=load_weights(tiny_folder).manifest.files
        | {"history.csv": hashlib.sha256(history.read_bytes()).hexdigest()},
    )
    assert load_weights(tiny_folder)
    path = tiny_folder / PLACES[name]
    damage(path)
    with pytest.raises(WeightsError) as caught:
        load_weights(tiny_folder)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_version_that_is_a_link_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    (tiny_folder / "tiny-1").rename(tmp_path / "tiny-1")
    (tiny_folder / "tiny-1").symlink_to(tmp_path / "tiny-1")
    with pytest.raises(WeightsError, match="tiny-1: is a link"):
        load_weights(tiny_folder)


@pytest.mark.parametrize("content", [os.urandom(64), b"\0" * 10], ids=["noise", "0"])
def test_a_current_that_is_no_line_of_text_is_refused(tiny_folder: Path, content: bytes) -> None:
    (tiny_folder / "CURRENT").write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        current_version(tiny_folder)
    assert str(tiny_folder / "CURRENT") in str(caught.value)


def test_a_picture_that_leads_out_of_the_folder_is_not_shown(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    weights = load_weights(tiny_folder)
    picture = weights.folder / "curve.png"
    assert weights.beside("curve.png") is None
    picture.symlink_to(tmp_path / "secret")
    with pytest.raises(WeightsError, match="is a link"):
        weights.beside("curve.png")
    picture.unlink()
    picture.write_bytes(b"a picture")
    assert weights.beside("curve.png") == b"a picture"
    sparse_file(picture)
    with pytest.raises(WeightsError, match="larger than"):
        weights.beside("curve.png")
    (weights.folder / "weights.safetensors").write_bytes(b"changed since")
    with pytest.raises(WeightsError, match="sha256"):
        weights.beside("weights.safetensors")


# ---- the service ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def bot(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[Installation]:
    async with TelegramServer() as server:
        yield Installation(tiny_folder, tmp_path, server)


def peak_memory(process: int) -> int:
    """The most that the process ever had in memory, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024


def swapped(folder: Path) -> None:
    """The files of two good versions, exchanged."""
    add_random_version(folder, "swapped", seed=5)
    shutil.copy(folder / "tiny-1" / "model.onnx", folder / "swapped" / "model.onnx")


def linked(folder: Path) -> None:
    (folder / "linked").symlink_to(folder / "tiny-1")


def misleading(target: Path) -> Callable[[Path], None]:
    def bend(folder: Path) -> None:
        (folder / ".new").symlink_to(target)
        (folder / ".new").replace(folder / "CURRENT")

    return bend


def named(version: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Makes a version and writes its name into CURRENT by hand, as an operator does who copied it from elsewhere."""

    def bend(folder: Path) -> None:
        make(folder)
        (folder / ".new").write_text(f"{version}\n")
        (folder / ".new").replace(folder / "CURRENT")

    return bend


def hostile(name: str) -> Callable[[Path], None]:
    version = name.replace(" ", "-")
    damage = (HOSTILE | {"a step without end": step_without_end})[name]
    return named(version, lambda folder: version_of(folder, bent(damage), version))


ATTACKS: dict[str, Callable[[Path], None]] = {
    "a-step-without-end: it was not ready within 8 s": hostile("a step without end"),
    "a-division-that-ends-the-process: the worker process was killed by SIGFPE": hostile(
        "a division that ends the process"
    ),
    "a-tensor-doubled-forty-times/model.onnx: onnxruntime cannot load it": hostile("a tensor doubled forty times"),
    "data-in-a-device/model.onnx: onnxruntime cannot load it": hostile("data in a device"),
    "nan/model.onnx: self-test failed": named("nan", lambda folder: version_of(folder, bent(not_a_number), "nan")),
    "swapped/model.onnx: its sha256": named("swapped", swapped),
    "linked: is a link": named("linked", linked),
    "CURRENT: '../..' is not the name of a version": named("../..", lambda _: None),
    "CURRENT: is a link": misleading(Path("/dev/zero")),
}
"""By the reason that is logged."""
IMPATIENT = """
import sys
from bot.cli.main import main
from generator.process.client import WorkerClient
from generator.process import client
start, patience = WorkerClient.start, client.LOAD_SECONDS
async def start_impatiently(folder, *arguments):
    client.LOAD_SECONDS = 8.0 if folder.name == "a-step-without-end" else patience
    return await start(folder, *arguments)
WorkerClient.start = start_impatiently
sys.exit(main(["run", *sys.argv[1:]]))
"""
"""`python -m bot run`, which waits eight seconds, not a minute, for the one worker that never gets ready."""


async def test_the_old_weights_serve_through_every_attack(bot: Installation) -> None:
    alice = bot.server.private(bot.server.user("Alice"))
    async with bot.service(program=("-c", IMPATIENT)) as service:
        await alice.send("/nietzsche")
        await alice.next_message(PATIENCE)
        before = peak_memory(service.process_id)
        for reason, attack in ATTACKS.items():
            attack(bot.weights)
            line = await service.log.next("reload.refused trigger='CURRENT' serving=tiny-1 reason=")
            assert f"{bot.weights}/{reason}" in line
        refused = f'lstmega_weights_reloads_total{{outcome="refused",voice="nietzsche"}} {len(ATTACKS)}.0'
        assert refused in await service.get("/metrics")
        status, out, why = await bot.command("reload")
        assert (status, out) == (1, "")
        assert f"{bot.weights / 'CURRENT'}: is a link" in why
        assert await service.ready() == (
            200,
            {"service": True, "telegram": True, "weights": True, "generator": True, "store": True},
        )
        await alice.send("/about")
        assert "tiny-1" in (await alice.next_message(PATIENCE)).text
        assert peak_memory(service.process_id) - before < 40
        await service.stop()


async def test_check_names_such_weights_and_survives_them(bot: Installation) -> None:
    reason = "a-division-that-ends-the-process: the worker process was killed by SIGFPE"
    ATTACKS[reason](bot.weights)
    status, out, err = await bot.command("check")
    assert (status, err) == (1, "")
    assert f"wrong  weights          {bot.weights}/{reason}; [generator] weights names their folder" in out


@pytest.mark.parametrize("reason", [*list(ATTACKS)[:3], "linked: is a link", "CURRENT: is a link"])
async def test_a_start_on_such_weights_ends_with_one_line(bot: Installation, reason: str) -> None:
    ATTACKS[reason](bot.weights)
    async with bot.service(until="", program=("-c", IMPATIENT), LSTMEGA_LOG__LEVEL="error") as service:
        assert await service.ended() == 2
    (line,) = service.log.lines
    assert f" run: {bot.weights}/{reason}" in line
