"""Tensors as arrays over mapped files: all, some or one member's rows of them, with only their bytes moved."""

import json
import multiprocessing
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from runstone.client import near
from runstone.client.fetch import StaleWarning
from runstone.client.tensors import safetensors, views
from runstone.client.tensors.load import load
from runstone.errors import Corrupt, Invalid, Missing, StorageFailed
from runstone.storage.backends.packs import LocalPacks

NAME = "local/demo/tensors@prod"
ROWS, COLUMNS = 1000, 1500
CHUNK = 128 << 10


@pytest.fixture(scope="module")
def weights():
    noise = numpy.random.default_rng(5)
    return {
        "embed": noise.standard_normal((ROWS, COLUMNS), numpy.float32),
        "head": noise.standard_normal((COLUMNS, ROWS), numpy.float32).astype(ml_dtypes.bfloat16),
        "scale": numpy.array(0.5, numpy.float32),
        "bias": numpy.arange(7, dtype=numpy.int64),
        "eight": noise.standard_normal((64, 64), numpy.float32).astype(ml_dtypes.float8_e4m3fn),
        "none": numpy.zeros((0, 3), numpy.float16),
    }


@pytest.fixture(scope="module")
def stored(remote, weights, tmp_path_factory):
    """``local/demo/tensors@prod``: two shards with an index, and another rendering that the index does not name."""
    folder = tmp_path_factory.mktemp("tensors")
    shards = {
        "model-1.safetensors": ["embed", "scale"],
        "model-2.safetensors": ["head", "bias", "eight", "none"],
    }
    for file, names in shards.items():
        save_file({name: weights[name] for name in names}, folder / file, metadata={"format": "np"})
    save_file({"embed": weights["embed"] + 1}, folder / "consolidated.safetensors")
    index = {"metadata": {}, "weight_map": {name: file for file, names in shards.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "README.md").write_text("# read me")
    remote.put("demo/tensors", folder, aliases=["prod"])
    return folder


@pytest.fixture
def tensors(relay, cache, stored):
    """Loads through the relay, whose port no server has left a token for."""

    def loaded(**options):
        return load(NAME, **({"url": relay.url, "cache": cache, "timeout": 5.0} | options))

    return loaded


def test_all_tensors_are_views_over_the_cache(tensors, relay, weights):
    with tensors() as found:
        assert set(found) == set(weights) and len(found) == len(weights)
        for name, expected in weights.items():
            assert found[name].dtype == expected.dtype and found[name].shape == expected.shape
            assert found[name].tobytes() == expected.tobytes()
        assert not found["embed"].flags.writeable and not found["embed"].flags.owndata
        kept = found["embed"]
        assert not found.near and found.bytes_fetched >= sum(each.nbytes for each in weights.values())
        assert [line.rpartition("/")[2] for line in relay.requests].count("plan") == 1
    assert numpy.array_equal(kept, weights["embed"])
    body = relay.body
    with tensors() as again:
        assert relay.body == body and again.bytes_fetched == 0
    assert not any("README" in line for line in relay.requests)


def test_some_tensors_move_their_own_bytes(tensors, relay, weights):
    with tensors(tensors=["head"]) as found:
        assert list(found) == ["head"]
        assert found["head"].tobytes() == weights["head"].tobytes()
        index = found.bytes_fetched - relay.body
        assert index == 0 and relay.body <= weights["head"].nbytes + 2 * CHUNK + 2000
    moved = relay.body
    with tensors(tensors=["head"]) as found:
        assert found["head"].tobytes() == weights["head"].tobytes() and found.bytes_fetched == 0
    assert relay.body == moved
    with tensors() as found:
        assert found["head"].tobytes() == weights["head"].tobytes()
        assert found["embed"].tobytes() == weights["embed"].tobytes()
    assert relay.body <= sum(each.nbytes for each in weights.values()) + 6_100_000 + 4 * CHUNK


@pytest.mark.parametrize("of", [2, 3, 8])
def test_the_shards_of_a_group_are_the_whole(tensors, relay, weights, of, tmp_path):
    parts = []
    for rank in range(of):
        before = relay.body
        with tensors(rank=rank, of=of, cache=tmp_path / str(rank)) as found:
            parts.append({name: numpy.array(found[name]) for name in found})
            wanted = sum(each.nbytes for each in parts[-1].values())
            # Two long tensors, each with a chunk too many at either end; the short ones lie in chunks of their own.
            assert relay.body - before <= wanted + 6 * CHUNK
    for name, expected in weights.items():
        if expected.shape:
            joined = numpy.concatenate([part[name] for part in parts])
            assert joined.tobytes() == expected.tobytes() and joined.shape == expected.shape
        else:
            assert all(part[name] == expected for part in parts)


def test_a_shard_goes_on_where_a_killed_one_stopped(tensors, relay, cache, weights):
    script = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from runstone.client.tensors.load import load\n"
        f"load({NAME!r}, url={relay.url!r}, cache={str(cache)!r}, tensors=['embed'], connections=1)"
    )
    relay.rate = 5_000_000
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as process:
        while relay.body < 3_000_000 and process.poll() is None:
            pass
        process.kill()
    relay.rate = None
    with tensors(tensors=["embed"]) as found:
        assert found["embed"].tobytes() == weights["embed"].tobytes()
        assert found.bytes_reused >= 1_500_000
    assert relay.body <= weights["embed"].nbytes * 1.3


def test_what_is_asked_for_must_be_there(tensors, relay):
    with pytest.raises(Missing, match="no tensor 'nobody'"):
        tensors(tensors=["nobody"])
    with pytest.raises(Invalid, match="rank 2 is none of a group of 2"):
        tensors(rank=2, of=2)
    with pytest.raises(Missing, match="no safetensors file"):
        tensors(prefix="nowhere/")
    assert not any("/files/model-" in line for line in relay.requests)


def test_places_are_where_the_bytes_are(tensors, weights):
    with tensors() as found:
        for name, expected in weights.items():
            place = found.place(name)
            assert os.pread(place.handle, place.length, place.offset) == expected.tobytes()
            assert place.shape == expected.shape
        assert found.place("head").dtype == "BF16"


def test_a_lost_server_is_survived(tensors, relay, weights):
    tensors(tensors=["head"]).close()
    relay.refuse = True
    relay.hang_up()
    with pytest.warns(StaleWarning), tensors(tensors=["head"], retries=0) as found:
        assert found.stale and found["head"].tobytes() == weights["head"].tobytes()


def test_a_flipped_bit_is_never_loaded(tensors, relay, weights):
    relay.flip = [2_000_000, 1000]
    with pytest.raises(Corrupt):
        tensors(tensors=["embed"])
    relay.flip = None
    with tensors(tensors=["embed"]) as found:
        assert found["embed"].tobytes() == weights["embed"].tobytes()


def test_on_the_servers_own_machine_its_files_are_mapped(server, stored, weights, cache):
    with load(NAME, url=server.url, cache=cache) as found:
        assert found.near and found.bytes_fetched == 0
        for name, expected in weights.items():
            assert found[name].tobytes() == expected.tobytes()
        place = found.place("embed")
        assert ".pack" in os.readlink(f"/proc/self/fd/{place.handle}")
        assert os.pread(place.handle, place.length, place.offset) == weights["embed"].tobytes()
    assert not cache.exists()
    with load(NAME, url=server.url, cache=cache, rank=1, of=2) as found:
        assert found.near and found["embed"].tobytes() == weights["embed"][ROWS // 2 :].tobytes()


def test_who_cannot_read_the_servers_files_gets_them_sent(server, stored, weights, cache, monkeypatch):
    monkeypatch.setattr(near.os, "open", lambda *_: (_ for _ in ()).throw(PermissionError()), raising=False)
    assert near.hold(near.PlannedFile(path="a", size=1, places=(("/nowhere", 0, 1),))) is None
    monkeypatch.undo()
    monkeypatch.setattr(near, "token_for", lambda origin: "0" * 64)
    with load(NAME, url=server.url, cache=cache) as found:
        assert not found.near and found["embed"].tobytes() == weights["embed"].tobytes()


def test_what_was_freed_before_it_could_be_locked_is_not_mapped(tmp_path):
    packs = LocalPacks(tmp_path)
    packs.path(7).parent.mkdir()
    packs.path(7).write_bytes(os.urandom(100_000))
    file = near.PlannedFile(path="a", size=40_000, places=((str(packs.path(7)), 10_000, 40_000),))
    ((start, handle, offset, length),) = near.hold(file)
    assert (start, offset, length) == (0, 10_000, 40_000)
    with pytest.raises(BlockingIOError):
        packs.punch(7, 0, 60_000)
    os.close(handle)
    assert packs.punch(7, 45_000, 20_000)
    assert near.hold(file) is None
    path = str(packs.path(7))
    both = near.PlannedFile(path="a", size=60_000, places=((path, 70_000, 20_000), (path, 10_000, 40_000)))
    assert near.hold(both) is None
    assert packs.punch(7, 70_000, 20_000), "a lock was left behind"


def changed_in(weights, names):
    """The same tensors, some bytes of some of them changed."""
    changed = {name: array.copy() for name, array in weights.items()}
    for name in names:
        changed[name].view(numpy.uint8)[500_000:500_010] += 1
    return changed


@pytest.fixture(scope="module")
def scattered(remote, tmp_path_factory):
    """Versions of ``local/demo/scattered`` whose file lies in several places: with one tensor of 16 changed, with all of them, and shifted."""
    noise = numpy.random.default_rng(6)
    weights = {f"layer.{n:02}": noise.standard_normal(250_000, numpy.float32) for n in range(16)}
    versions = [weights, changed_in(weights, ["layer.07"]), changed_in(weights, weights), weights]
    for number, tensors in enumerate(versions, 1):
        folder = tmp_path_factory.mktemp("scattered")
        # The header of the last one has another length: no tensor has the alignment there that it had in the first.
        save_file(tensors, folder / "model.safetensors", metadata={"n": "x" * 13 if number == 4 else "x"})
        remote.put("demo/scattered", folder)
    return versions


def test_a_file_that_lies_in_several_places_is_mapped_there_too(server, scattered, cache):
    weights = scattered[1]
    with load("local/demo/scattered@v2", url=server.url, cache=cache) as found:
        assert found.near and found.bytes_fetched == 0
        assert found.lock() is None
        for name, expected in weights.items():
            assert found[name].tobytes() == expected.tobytes()
            assert found[name].flags.aligned and not found[name].flags.writeable
            place = found.place(name)
            assert os.pread(place.handle, place.length, place.offset) == expected.tobytes()
            assert (".pack" in os.readlink(f"/proc/self/fd/{place.handle}")) == (name != "layer.07")
        kept = found["layer.07"]
        handles = {found.place(name).handle for name in weights}
    assert kept.tobytes() == weights["layer.07"].tobytes()
    for handle in handles:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(handle)
    with pytest.raises(Invalid, match="closed"):
        found["layer.01"]
    assert not cache.exists()
    with load("local/demo/scattered@v2", url=server.url, cache=cache, rank=1, of=5) as found:
        assert found.near
        assert all(found[name].tobytes() == each[50_000:100_000].tobytes() for name, each in weights.items())


@pytest.mark.parametrize("version", [3, 4], ids=["changed everywhere", "not aligned"])
def test_what_would_mostly_be_copied_goes_by_the_cache(server, scattered, cache, version):
    with load(f"local/demo/scattered@v{version}", url=server.url, cache=cache) as found:
        assert not found.near
        for name, expected in scattered[version - 1].items():
            assert found[name].tobytes() == expected.tobytes()
    with load(f"local/demo/scattered@v{version}", url=server.url, cache=cache, tensors=["layer.03"]) as one:
        assert one["layer.03"].tobytes() == scattered[version - 1]["layer.03"].tobytes()


def test_with_a_pinned_key_what_lies_on_the_same_machine_is_verified_into_the_cache(
    server, remote, stored, cache
):
    with load(NAME, url=server.url, cache=cache, log_key=remote.log_key()) as found:
        assert not found.near and found.bytes_fetched == 0 and found.bytes_reused > 0


def _reader(number, url, cache, ready, done):
    with load(NAME, url=url, cache=cache) as found:
        total = sum(int(found[name].view(numpy.uint8).sum()) for name in ("embed", "head"))
        ready.put((number, total))
        done.wait()


def shared_memory(pid, what):
    """The proportional set size of the mappings of a process that contain ``what`` in their path, in bytes."""
    total, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = what in line
        elif counts and line.startswith("Pss:"):
            total += int(line.split()[1]) << 10
    return total


def test_eight_readers_hold_one_copy_in_memory(relay, cache, stored, weights):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Queue(), context.Event()
    readers = [
        context.Process(target=_reader, args=(number, relay.url, str(cache), ready, done))
        for number in range(8)
    ]
    for reader in readers:
        reader.start()
    try:
        totals = {ready.get(timeout=120)[1] for _ in readers}
        assert len(totals) == 1
        held = sum(shared_memory(reader.pid, str(cache)) for reader in readers)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    size = sum(each.nbytes for each in weights.values())
    assert size * 0.9 <= held <= size * 1.2
    assert relay.body <= size + 6_100_000 + 100_000


def test_tensors_can_be_locked_in_memory(tensors):
    with tensors(tensors=["bias"]) as found:
        try:
            found.lock()
        except StorageFailed as error:
            assert "ulimit" in error.message
            return
        locked = [
            line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmLck")
        ]
        assert int(locked[0].split()[1]) > 0


def test_without_ml_dtypes_the_bits_are_given(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    tensor = safetensors.Tensor("head", "BF16", weights["head"].shape, "f", 0, weights["head"].nbytes)
    array = views.as_numpy(tensor, memoryview(weights["head"].tobytes()))
    assert array.dtype == numpy.uint16 and array.shape == tensor.shape
    assert array.tobytes() == weights["head"].tobytes()
    four = safetensors.Tensor("q", "F4", (3, 4), "f", 0, 6)
    assert views.as_numpy(four, memoryview(bytes(6))).shape == (6,)


def test_torch_is_asked_for_by_name(tensors):
    with tensors(framework="torch") as found:
        try:
            import torch
        except ImportError:
            with pytest.raises(Invalid, match="torch is not installed"):
                found["embed"]
            return
        assert found["head"].dtype == torch.bfloat16


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"dtype": 3, "shape": "x", "data_offsets": None}])
def test_metadata_is_no_tensor(metadata):
    content = file_of(
        {"__metadata__": metadata, "a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"ab"
    )
    assert list(safetensors.tensors(content, len(content), "f")) == ["a"]


def test_two_files_with_one_tensor_need_a_choice(remote, relay, cache, tmp_path):
    for name in ("a", "b"):
        save_file({"w": numpy.zeros(3)}, tmp_path / f"{name}.safetensors")
    remote.put("demo/twice", tmp_path)
    with pytest.raises(Invalid, match="choose by prefix="):
        load("local/demo/twice", url=relay.url, cache=cache)
    with load("local/demo/twice", url=relay.url, cache=cache, prefix="b") as found:
        assert found.tensors["w"].path == "b.safetensors"


def file_of(header, data=b"", length=None):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


BAD = {
    "empty": b"",
    "short": b"1234",
    "a length past the end": file_of({}, length=1 << 40),
    "no JSON": file_of(b"{nope"),
    "deep": file_of(b"[" * 100_000),
    "an unknown type": file_of({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "a shape that does not fit": file_of(
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)
    ),
    "a negative side": file_of({"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, bytes(4)),
    "an enormous side": file_of({"a": {"dtype": "F32", "shape": [1 << 63, 0], "data_offsets": [0, 0]}}),
    "an end before the start": file_of(
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)
    ),
    "past the end": file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
    "overlapping": file_of(
        {
            "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
            "b": {"dtype": "U8", "shape": [3], "data_offsets": [1, 4]},
        },
        bytes(4),
    ),
    "an entry without fields": file_of({"a": {}}),
    "a gap": file_of({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, bytes(2)),
    "bytes behind": file_of({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, bytes(2)),
}


@pytest.mark.parametrize("what", BAD)
def test_headers_that_lie_are_refused(what):
    with pytest.raises(Corrupt):
        safetensors.tensors(BAD[what], len(BAD[what]), "f")


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=5),
    of=st.integers(1, 6),
)
def test_headers_are_read_as_the_reference_does(tmp_path_factory, shapes, of):
    path = tmp_path_factory.mktemp("file") / "f.safetensors"
    arrays = {
        f"t{n}": numpy.arange(numpy.prod(shape, dtype=int), dtype="<i2").reshape(shape)
        for n, shape in enumerate(shapes)
    }
    save_file(arrays, path)
    content = path.read_bytes()
    found = safetensors.tensors(content, len(content), "f")
    for name, expected in load_file(path).items():
        tensor = found[name]
        data = memoryview(content)[tensor.offset : tensor.offset + tensor.length]
        assert numpy.array_equal(views.as_numpy(tensor, data), expected)
        shards = [tensor.shard(rank, of) for rank in range(of)]
        joined = b"".join(content[each.offset : each.offset + each.length] for each in shards)
        assert joined == expected.tobytes() or not tensor.shape
        assert all(each.length == numpy.prod(each.shape, dtype=int) * 2 for each in shards)
