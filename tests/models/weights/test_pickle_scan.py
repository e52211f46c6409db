"""Pickles of a few hundred bytes that would take for ever, or all memory, end in a line at once."""

import os
import pickle
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from fuse.errors import ModelError
from fuse.models.panoptic_fpn.checkpoint import read_checkpoint
from fuse.models.weights.loading import read_weights

START = b"\x80\x02"
LEVELS = 60  # a tuple of 2**60 leaves, if nothing were shared
LEGACY = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
SHAPE = b"J" + struct.pack("<i", 25_000) + b"\x85X\x01\0\0\0C"
FLOAT32 = b"cnumpy\ndtype\nX\x02\0\0\0f4\x85R"
FROM_BUFFER = b"cnumpy.core.numeric\n_frombuffer\n"


def doubling():
    code = b")q\x00"
    for level in range(LEVELS):
        code += b"h%ch%c\x86q%c" % (level, level, level + 1)
    return code + b"h%c" % LEVELS


def nested(depth):
    return b"(" * depth + b"t" * depth


def numbers_that_hash_alike(count=2000):
    keys = (b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") for n in range(1, count))
    return b"}(" + b"".join(key + b"K\x01" for key in keys) + b"u"


def one_content_many_arrays():
    content = b"B" + struct.pack("<I", 100_000) + bytes(100_000) + b"q\x01"
    array = (
        FROM_BUFFER + b"(h\x01" + FLOAT32 + b"J" + struct.pack("<i", 25_000) + b"\x85X\x01\0\0\0CtR"
    )
    named = (b"X\x04\0\0\0%04d" % n + array for n in range(2000))
    return content + b"0}(" + b"".join(named) + b"u"


HOSTILE = {
    "a name whose hash takes for ever": b"}" + doubling() + b"K\x01s",
    "a set of such": b"\x8f(" + doubling() + b"\x90",
    "a reference whose text takes for ever": doubling() + b"Q",
    "a kind of storage whose text does": b"X\x07\0\0\0storage" + doubling() + b"\x86Q",
    "an item type whose text does": b"cnumpy\ndtype\n" + doubling() + b"\x85R",
    "a name too deep to be hashed": b"}" + nested(200_000) + b"K\x01s",
    "a memo of gigabytes": b"Nr" + struct.pack("<I", 2**27),
    "a memo of more": b"Nr" + struct.pack("<I", 2**31),
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 2**40),
    "a frame that is not there": b"\x95" + struct.pack("<Q", 2**62),
    "a number that is not there": b"\x8b" + struct.pack("<i", 2**30),
    "zeros by their number": b"cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\x10\x85R",
    "the same in words": b"\x8c\x08builtins\x8c\x09bytearray\x93\x8a\x05\0\0\0\0\x10\x85R",
    "numbers that hash alike": numbers_that_hash_alike(),
    "many arguments, many times": b"(" + b"K\x01" * 20_000 + b"tq\x00" + b"h\x000" * 20_000,
    "one content, many arrays": one_content_many_arrays(),
    "a name of megabytes": b"c" + b"a" * 5_000_000 + b"\nb\n",
}


def write_archive(path, code, kind=zipfile.ZIP_STORED, **more):
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("a/data.pkl", code)
        archive.writestr("a/version", "3\n")
        for name, content in more.items():
            archive.writestr(f"a/{name}", content)


def write_pkl(folder, code):
    (folder / "a.pkl").write_bytes(START + code + b".")
    return read_checkpoint, folder / "a.pkl"


def write_pth(folder, code):
    write_archive(folder / "a.pth", START + code + b".")
    return read_weights, folder / "a.pth"


def write_old_pth(folder, code):
    (folder / "a.pth").write_bytes(LEGACY + START + code + b".")
    return read_weights, folder / "a.pth"


def write_disguised_pth(folder, code):
    """A pickle with an archive at its end: torch goes by how a file begins, zip readers do not."""
    write_archive(folder / "b.pth", pickle.dumps({}, 2))
    content = LEGACY + START + code + b"." + (folder / "b.pth").read_bytes()
    (folder / "a.pth").write_bytes(content)
    return read_weights, folder / "a.pth"


@pytest.mark.parametrize("write", [write_pkl, write_pth, write_old_pth, write_disguised_pth])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_pickle_is_refused_at_once_and_in_a_short_line(tmp_path, write, kind):
    read, path = write(tmp_path, HOSTILE[kind])
    start = time.process_time()
    with pytest.raises(ModelError, match=r"a\.p(kl|th): refused, since ") as failure:
        read(path)
    assert time.process_time() - start < 5
    assert len(str(failure.value)) < 2000
    assert "\n" not in str(failure.value)


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path):
    write_archive(tmp_path / "a.pth", b"", zipfile.ZIP_DEFLATED, zeros=bytes(50_000_000))
    with pytest.raises(ModelError, match="unfolds to more than 16 times its size"):
        read_weights(tmp_path / "a.pth")


def test_a_tensor_that_repeats_one_number_is_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(1).expand(2**20, 2**18)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="unfolds to more than 16 times its size"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("old", [False, True])
def test_checkpoints_of_torch_pass(tmp_path, old):
    shared = torch.rand(300, 40)
    state = OrderedDict((f"layer{n}.weight", torch.rand(3, 4)) for n in range(500))
    state |= {"tied.weight": shared, "tied.too": shared, "half": shared.half()[:, :3]}
    content = {"state_dict": state, "epoch": 3, "seed": 2**63 - 1, "betas": (0.9, 0.999)}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    found, _ = read_weights(tmp_path / "a.pth")
    assert list(found) == list(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_checkpoints_of_detectron2_pass(tmp_path, protocol):
    arrays = {f"layer{n}": np.full((3, n), n, np.float32) for n in range(300)}
    content = {"model": arrays, "__author__": "somebody", "matching_heuristics": True}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = read_checkpoint(tmp_path / "a.pkl")
    assert all(torch.equal(found[key], torch.from_numpy(arrays[key])) for key in arrays)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_a_long_scan_ends_by_sigterm(tmp_path):
    (tmp_path / "a.pkl").write_bytes(START + b"N0" * 2_400_000 + b"N.")
    code = "import sys; from fuse.models.panoptic_fpn.checkpoint import *; print(1, flush=True); "
    code += "read_checkpoint(Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, tmp_path / "a.pkl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM
