"""Entries of the store: made once, whole or not there, verified when read, and resumed where a run was killed."""

import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import SafetensorError

from brainalign import store
from brainalign.store import entries

IDENTITY = {"model": "gpt2", "layers": [0, 6, 12], "context": None, "scale": 0.1}
ARRAYS = {"words": np.arange(6.0).reshape(2, 3), "missing": np.array([np.nan, 1], dtype="f2"), "none": np.zeros((0, 3))}
FORK = multiprocessing.get_context("fork")


def compute():
    return ARRAYS, {"note": "é", "n_words": 2}


def forbidden(*_):
    raise AssertionError("this was computed before")


def saved() -> Path:
    """Path of an entry that is there."""
    store.get("activations", IDENTITY, compute)
    return store.path_of("activations", IDENTITY)


def visible(folder: Path) -> list[str]:
    """Names of all files but locks, which stay."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def same(one, other) -> bool:
    """Whether arrays have the same names, types, shapes and bits."""
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in one.items()} == {
        name: (a.dtype.str, a.shape, a.tobytes()) for name, a in other.items()
    }


def in_process(function, *args):
    """Run in a process of its own; its exit code."""
    job = FORK.Process(target=function, args=args)
    job.start()
    job.join(60)
    return job.exitcode


# What goes in comes out

dtypes = st.sampled_from(["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.text().filter(lambda name: name != "__metadata__")


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(names, hnp.arrays(dtypes, shapes), max_size=4),
    st.dictionaries(st.text(), plain, max_size=3),
    st.dictionaries(st.text().filter(lambda name: name != "identity"), plain, max_size=3),
)
def test_what_is_kept_is_read_and_has_one_form(arrays, identity, notes):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        files = []
        for number, turn in enumerate((iter, reversed)):
            patch.setenv("BRAINALIGN_STORE", f"{folder}/{number}")
            this, inputs, more = (dict(turn(list(given.items()))) for given in (identity, arrays, notes))
            first = store.get("kind", this, lambda inputs=inputs, more=more: (inputs, more))
            again = store.get("kind", this, forbidden)
            for entry in (first, again):
                assert same(entry.arrays, arrays)
                assert entry.record == {"identity": identity, **notes}
            path = store.path_of("kind", this)
            assert path == store.root() / "kind" / f"{store.digest(identity)}.safetensors"
            assert entries.record_of(path) == first.record
            files.append(path.read_bytes())
        assert files[0] == files[1]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(2, 3, 4).T,
        np.arange(24.0)[::-3],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
        np.broadcast_to(np.float16(2), (3, 2)),
        np.float32(3),
        2.5,
        [[1, 2], [3, 4]],
        np.zeros((3, 0), order="F"),
    ],
)
def test_arrays_of_any_layout_are_kept(array):
    first = store.get("kind", {}, lambda: ({"a": array}, {})).arrays["a"]
    again = store.get("kind", {}, forbidden).arrays["a"]
    np.testing.assert_array_equal(again, array)
    assert same({"a": first}, {"a": again})
    assert (again.shape, again.dtype) == (np.shape(array), np.asarray(array).dtype.newbyteorder("="))
    again[...] = 0  # what is read belongs to the reader


@pytest.mark.parametrize(
    "array",
    [
        "text",
        ["a", "b"],
        np.array([None, 1]),
        np.array([1j]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.longdouble(1),
    ],
)
def test_other_arrays_are_refused_by_name(array):
    with pytest.raises(ValueError, match=r"kind: an array 'a' of type \S+ cannot be stored\. Store floats"):
        store.get("kind", {}, lambda: ({"b": np.zeros(1), "a": array}, {}))
    with pytest.raises(ValueError, match=r"step 1 of kind: an array 'a'"):
        store.resumed("kind", {}, 2, lambda step: {"a": array} if step else {})
    assert visible(store.root() / "kind") == ["00000.safetensors"]


def test_the_name_that_safetensors_takes_is_refused():
    with pytest.raises(ValueError, match="not called __metadata__"):
        store.get("kind", {}, lambda: ({"__metadata__": np.zeros(1)}, {}))


NOT_PLAIN = [{"a": np.float32(1)}, {"a": {1, 2}}, {"a": float("nan")}, {"a": Path("b")}, {"a": np.arange(2)}]


@pytest.mark.parametrize("value", NOT_PLAIN, ids=str)
def test_what_is_not_plain_json_is_refused(value):
    with pytest.raises(ValueError, match=r"identity is not plain JSON: .* Use dictionaries"):
        store.get("kind", value, forbidden)
    with pytest.raises(ValueError, match=r"record of kind is not plain JSON: .* Use dictionaries"):
        store.get("kind", {}, lambda: ({}, value))
    assert visible(store.root() / "kind") == []


def test_notes_cannot_replace_the_identity():
    with pytest.raises(ValueError, match="notes on kind have a key 'identity'"):
        store.get("kind", {}, lambda: ({}, {"identity": {}}))


def test_entries_of_another_kind_or_identity_are_others():
    paths = {store.path_of("a", {}), store.path_of("b", {}), store.path_of("a", {"a": 1}), store.path_of("a", {"a": 2})}
    assert len(paths) == 4


def test_an_entry_can_need_another():
    def outer():
        return store.get("inner", {}, compute).arrays, {}

    assert same(store.get("outer", {}, outer).arrays, ARRAYS)


def test_reading_marks_the_file_as_used():
    path = saved()
    os.utime(path, (0, 0))
    store.get("activations", IDENTITY, forbidden)
    assert time.time() - path.stat().st_mtime < 60


# Damage


def test_no_flipped_bit_and_no_cut_is_overlooked(tmp_path):
    path = saved()
    whole = path.read_bytes()
    flipped = (
        whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
        for place in range(len(whole))
        for bit in range(8)
    )
    cut = (whole[:length] for length in range(len(whole)))
    copy, harmless = tmp_path / path.name, []
    for content in chain(flipped, cut, [whole + b"\0", whole * 2]):
        copy.write_bytes(content)
        try:
            assert entries.read(copy, path.stem).record == entries.record_of(path)
            harmless.append(content)
        except entries.Damaged as error:
            assert str(copy) in str(error)
    # é may be written as \u00e9 and as \u00E9.
    assert harmless == [whole.replace(b"00e9", b"00E9")]


def empty(path):
    path.write_bytes(b"")


def cut_in_the_header(path):
    path.write_bytes(path.read_bytes()[:100])


def cut_in_the_data(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_in_the_record(path):
    path.write_bytes(path.read_bytes().replace(b"gpt2", b"gpt3"))


def flip_in_the_data(path):
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 4
    path.write_bytes(whole)


def another_type(path):
    path.write_bytes(path.read_bytes().replace(b'"dtype":"F', b'"dtype":"I'))


def text(path):
    path.write_text("no tensors " * 100)


def somebody_elses(path):
    safetensors.numpy.save_file(ARRAYS, path, {"format": "np"})


def without_header(path):
    safetensors.numpy.save_file(ARRAYS, path)


def without_identity(path):
    entries._write(path, entries.Entry(ARRAYS, {"identity": "gpt2"}))


def of_another_identity(path):
    store.get("activations", {"model": "other"}, compute)
    shutil.copy(store.path_of("activations", {"model": "other"}), path)


DAMAGES = [
    empty,
    cut_in_the_header,
    cut_in_the_data,
    flip_in_the_record,
    flip_in_the_data,
    another_type,
    text,
    somebody_elses,
    without_header,
    without_identity,
    of_another_identity,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_file_is_named_and_made_again(damage):
    path = saved()
    whole = path.read_bytes()
    damage(path)
    assert path.read_bytes() != whole
    with pytest.warns(UserWarning, match=rf"{path} is .*It is made again\.") as warned:
        assert same(store.get("activations", IDENTITY, compute).arrays, ARRAYS)
    assert len(warned) == 1
    assert path.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.get("activations", IDENTITY, forbidden)


# Several processes


def slow(log):
    with log.open("a") as file:
        file.write("computed\n")
    time.sleep(0.3)
    return compute()


def ask(log, start, ok):
    start.wait(30)
    entry = store.get("activations", IDENTITY, lambda: slow(log))
    if same(entry.arrays, ARRAYS):
        ok.release()


def test_of_several_processes_one_computes(tmp_path):
    log, start, ok = tmp_path / "log", FORK.Barrier(4), FORK.Semaphore(0)
    jobs = [FORK.Process(target=ask, args=(log, start, ok)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0] * 4
    assert all(ok.acquire(block=False) for _ in jobs)
    assert log.read_text() == "computed\n"
    assert visible(store.root()) == [store.path_of("activations", IDENTITY).name]


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_killed_process_blocks_nobody():
    assert in_process(store.get, "activations", IDENTITY, killed) == -signal.SIGKILL
    assert entries.lock_of(store.path_of("activations", IDENTITY)).exists()
    assert same(store.get("activations", IDENTITY, compute).arrays, ARRAYS)


def test_a_lock_in_use_can_be_met_without_waiting(tmp_path):
    path = tmp_path / "a.safetensors"
    with entries.locked(path), pytest.raises(TimeoutError), entries.locked(path, timeout=0):
        pytest.fail("two processes work on one entry")
    with entries.locked(path, timeout=0):
        pass


# Steps

N_STEPS = 9


def step_result(step):
    return {"a": np.full((2, step), step, dtype="f4"), "b/c": np.array(np.nan if step % 2 else step)}


def stepwise(log, every=0.0, kill_at=None, error=None):
    """Compute an entry in steps, each of them logged; ``kill_at`` is the step in which the process dies."""

    def work(step):
        with log.open("a") as file:
            file.write(f"{step} ")
        if step == kill_at:
            raise error if error else killed()
        return step_result(step)

    def compute():
        results = store.resumed("activations", IDENTITY, N_STEPS, work, every)
        return {f"{step} {name}": a for step, result in enumerate(results) for name, a in result.items()}, {}

    return store.get("activations", IDENTITY, compute)


def steps(log) -> list[int]:
    return [int(step) for step in log.read_text().split()]


@pytest.fixture
def undisturbed(tmp_path, monkeypatch):
    """Bytes of the entry that one run makes."""
    with monkeypatch.context() as patch:
        patch.setenv("BRAINALIGN_STORE", str(tmp_path / "other"))
        stepwise(tmp_path / "undisturbed", every=1e9)
        assert steps(tmp_path / "undisturbed") == list(range(N_STEPS))
        assert visible(store.root()) == [store.path_of("activations", IDENTITY).name]
        return store.path_of("activations", IDENTITY).read_bytes()


def check_whole(undisturbed):
    path = store.path_of("activations", IDENTITY)
    assert path.read_bytes() == undisturbed
    assert visible(path.parent) == [path.name]
    assert not entries.parts_of(path).exists()


@pytest.mark.parametrize("kill_at", [0, 1, 5, N_STEPS - 1])
def test_a_run_that_was_killed_goes_on_where_it_stopped(tmp_path, undisturbed, kill_at):
    log = tmp_path / "log"
    assert in_process(stepwise, log, 0.0, kill_at) == -signal.SIGKILL
    assert steps(log) == list(range(kill_at + 1))
    stepwise(log)
    assert steps(log) == [*range(kill_at + 1), *range(kill_at, N_STEPS)]
    check_whole(undisturbed)


def test_a_run_may_be_killed_again_and_again(tmp_path, undisturbed):
    log = tmp_path / "log"
    for kill_at in (2, 3, 7):
        assert in_process(stepwise, log, 0.0, kill_at) == -signal.SIGKILL
    stepwise(log)
    assert steps(log) == [0, 1, 2, 2, 3, 3, 4, 5, 6, 7, 7, 8]
    check_whole(undisturbed)


def test_a_run_that_was_killed_while_it_saved_loses_only_that(tmp_path, undisturbed, monkeypatch):
    log, n_saved, save_file = tmp_path / "log", [], safetensors.numpy.save_file

    def half(arrays, path, header):
        n_saved.append(path)
        if len(n_saved) == 4:
            Path(path).write_bytes(b"half a file")
            killed()
        save_file(arrays, path, header)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", half)
        assert in_process(stepwise, log) == -signal.SIGKILL
    parts = visible(entries.parts_of(store.path_of("activations", IDENTITY)))
    assert parts[1:] == [f"{step:05}.safetensors" for step in range(3)]
    assert parts[0].startswith(".00003.safetensors.")
    stepwise(log)
    assert steps(log) == [0, 1, 2, 3, *range(3, N_STEPS)]
    check_whole(undisturbed)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), ValueError("bad word")], ids=repr)
def test_an_exception_saves_what_is_done_and_goes_up(tmp_path, undisturbed, error):
    log = tmp_path / "log"
    with pytest.raises(type(error)) as raised:
        stepwise(log, every=1e9, kill_at=6, error=error)
    assert raised.value is error
    assert visible(store.root()) == ["00000.safetensors"]
    stepwise(log, every=1e9)
    assert steps(log) == [*range(7), *range(6, N_STEPS)]
    check_whole(undisturbed)


def test_steps_are_saved_from_time_to_time(tmp_path, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(entries.time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt):
        stepwise(tmp_path / "log", every=3.0, kill_at=8, error=KeyboardInterrupt())
    folder = entries.parts_of(store.path_of("activations", IDENTITY))
    # The clock ticks once a step, and once more after a save.
    found = {part.name: entries.record_of(part)["steps"] for part in sorted(folder.glob("*.safetensors"))}
    assert found == {
        "00000.safetensors": [0, 1, 2],
        "00003.safetensors": [3, 4, 5],
        "00006.safetensors": [6, 7],
    }


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_part_is_made_again(tmp_path, undisturbed, damage):
    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        stepwise(log, kill_at=6, error=KeyboardInterrupt())
    path = store.path_of("activations", IDENTITY)
    part = entries.parts_of(path) / "00003.safetensors"
    damage(part)
    log.unlink()
    with pytest.warns(UserWarning, match=rf"{part} is .*It is made again\."):
        stepwise(log)
    assert steps(log) == [3, 6, 7, 8]
    assert path.read_bytes() == undisturbed


def test_other_numbers_of_steps():
    for n_steps in (0, 2, 5, 3):
        done = store.resumed("kind", {}, n_steps, step_result, every=0)
        assert len(done) == n_steps
        assert all(same(result, step_result(step)) for step, result in enumerate(done))
    assert store.resumed("kind", {"empty": True}, 2, lambda _: {}, every=0) == [{}, {}]
    assert store.resumed("kind", {"empty": True}, 2, forbidden) == [{}, {}]


def test_parts_of_work_that_was_cut_otherwise_do_not_count():
    store.resumed("kind", {}, 4, step_result, every=0)
    done = []
    store.resumed("kind", {}, 3, lambda step: done.append(step) or step_result(step), every=0)
    assert done == [0, 1, 2]
    assert len(store.resumed("kind", {}, 3, forbidden)) == 3


def test_parts_beside_a_whole_entry_go_when_it_is_computed_by_somebody_else(tmp_path):
    path = saved()
    whole = path.read_bytes()
    path.unlink()
    in_process(stepwise, tmp_path / "log", 0.0, 3)
    assert entries.parts_of(path).exists()
    assert same(store.get("activations", IDENTITY, compute).arrays, ARRAYS)
    assert path.read_bytes() == whole
    assert not entries.parts_of(path).exists()


# Disks

NO_ROOM = (
    r"no room for \S+\.safetensors in .*: {}; it takes [\d,]+ bytes\. .*brainalign store size\. .*BRAINALIGN_STORE"
)


def no_room(number):
    def save_file(arrays, path, header):
        Path(path).write_bytes(b"half a file")
        raise SafetensorError(f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})")

    return save_file


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_what_to_do_and_loses_nothing(tmp_path, undisturbed, monkeypatch, number):
    log, path, writer = tmp_path / "log", store.path_of("activations", IDENTITY), safetensors.numpy.save_file

    def full_for_the_entry(arrays, temporary, header):
        (writer if Path(temporary).parent.suffix == ".parts" else no_room(number))(arrays, temporary, header)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", full_for_the_entry)
        with pytest.raises(OSError, match=NO_ROOM.format(os.strerror(number))):
            stepwise(log)
    assert visible(path.parent) == [f"{step:05}.safetensors" for step in range(N_STEPS)]
    stepwise(log)
    assert steps(log) == list(range(N_STEPS))
    check_whole(undisturbed)


def test_a_full_disk_between_steps_keeps_those_before(tmp_path, undisturbed, monkeypatch):
    log, writer, n_saved = tmp_path / "log", safetensors.numpy.save_file, []

    def full_from_the_third(arrays, temporary, header):
        n_saved.append(temporary)
        (writer if len(n_saved) < 3 else no_room(errno.ENOSPC))(arrays, temporary, header)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", full_from_the_third)
        with pytest.raises(OSError, match=r"no room for 00002\.safetensors"):
            stepwise(log)
    assert visible(store.root()) == ["00000.safetensors", "00001.safetensors"]
    stepwise(log)
    assert steps(log) == [0, 1, 2, *range(2, N_STEPS)]
    check_whole(undisturbed)


def test_a_disk_without_room_for_a_name_is_full_too(monkeypatch):
    def mkstemp(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    with pytest.raises(OSError, match=NO_ROOM.format("No space left on device")):
        store.get("activations", IDENTITY, compute)


def test_other_failures_of_the_writer_stay_what_they_are(monkeypatch):
    def save_file(*_):
        raise SafetensorError("something else")

    monkeypatch.setattr(safetensors.numpy, "save_file", save_file)
    with pytest.raises(SafetensorError, match="something else"):
        store.get("activations", IDENTITY, compute)
    assert visible(store.root()) == []


def limited(report):
    """Meet a real limit: files of 100 kB, which is met as a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    messages = []
    for n_bytes in (1_000_000, 50_000, 100_000):
        try:
            store.get("activations", {"n": n_bytes}, lambda n=n_bytes: ({"a": np.ones(n // 8)}, {}))
        except OSError as error:
            messages.append(str(error))
    try:
        with store.writing(store.root() / "results" / "a.csv") as file:
            file.write_text("a" * 200_000)
    except OSError as error:
        messages.append(str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    report.write_text(json.dumps(messages))


def test_a_real_limit_is_met_like_a_full_disk(tmp_path):
    assert in_process(limited, tmp_path / "report") == 0
    messages = json.loads((tmp_path / "report").read_text())
    assert [message.partition(". Nothing")[0].partition("File too large")[2] for message in messages] == [
        "; it takes 1,000,000 bytes",
        "; it takes 100,000 bytes",
        "",
    ]
    assert "no room for a.csv in" in messages[2]
    # What had room is there, and nothing else.
    assert visible(store.root()) == [store.path_of("activations", {"n": 50_000}).name]
    assert store.get("activations", {"n": 50_000}, forbidden).arrays["a"].sum() == 6250


def as_nobody(report, folder):
    """Root may write anywhere: become somebody who may not."""
    if os.geteuid() == 0:
        os.setuid(65534)
    os.environ["BRAINALIGN_STORE"] = str(folder)
    read = store.get("activations", IDENTITY, forbidden)
    try:
        store.get("activations", {"model": "other"}, forbidden)
    except OSError as error:
        report.send((same(read.arrays, ARRAYS), str(error)))


def test_a_read_only_store_is_read_and_named_when_written_to(monkeypatch):
    # Below tmp_path, whose parents others than its owner cannot enter, nobody could read anything.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("BRAINALIGN_STORE", folder)
        path = saved()
        path.parent.chmod(0o555)
        receive, send = FORK.Pipe(duplex=False)
        assert in_process(as_nobody, send, folder) == 0
        assert receive.poll(0)
        was_read, message = receive.recv()
        path.parent.chmod(0o755)
    assert was_read
    other = store.digest({"model": "other"})
    assert message.startswith(f"cannot write {other}.safetensors in {path.parent}: Permission denied. Make the folder")
