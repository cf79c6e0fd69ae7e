import hashlib
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pooch
import pytest

from brainalign import catalog
from brainalign.human import download

BODY = bytes(range(256)) * 4096  # 1 MiB
CHUNK = download.CHUNK
SHA = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """A server on 127.0.0.1 whose misbehavior is switched on by attributes."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.ranges = True
        self.status = None  # an error instead of an answer
        self.cut = []  # how many bytes to send before the connection breaks, one entry a request
        self.stall = None  # bytes after which to wait for ever
        self.asked = []  # the Range header of each request

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/data/words.tsv"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if server.status:
            self.send_error(server.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.ranges else 0
        if start >= len(server.body):
            self.send_error(416)
            return
        body = server.body[start:]
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.stall is not None:
            self.wfile.write(body[: server.stall])
            self.wfile.flush()
            threading.Event().wait(60)
        self.wfile.write(body[: server.cut.pop(0)] if server.cut else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("BRAINALIGN_MIRROR", raising=False)
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)


def a_file(url="https://example.org/data/words.tsv", hash=SHA):
    return catalog.DataFile("words.tsv", url, hash, len(BODY))


def stored(tmp_path, host="127.0.0.1"):
    """What a user sees in the folder of the file, the lock aside."""
    folder = tmp_path / "store" / "downloads" / host / "data"
    return sorted(path.name for path in folder.glob("*") if not path.name.endswith(".lock"))


def part(tmp_path, content):
    path = tmp_path / "store" / "downloads" / "127.0.0.1" / "data" / "words.tsv.part"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_downloads_once(server, tmp_path, ranges, algorithm):
    server.ranges = ranges
    file = a_file(server.url, f"{algorithm}:{hashlib.new(algorithm, BODY).hexdigest()}")
    path = download.fetch(file)
    assert path == tmp_path / "store" / "downloads" / "127.0.0.1" / "data" / "words.tsv"
    assert path.read_bytes() == BODY
    assert download.fetch(file) == path
    assert server.asked == [None]
    assert stored(tmp_path) == ["words.tsv"]


def test_file_is_readable_by_others_as_the_umask_allows(server):
    umask = os.umask(0)
    os.umask(umask)
    assert download.fetch(a_file(server.url)).stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("damage", [BODY[:-1], b"", BODY[:-1] + b"x"])
def test_damaged_stored_file_is_fetched_again(server, damage):
    path = download.fetch(a_file(server.url))
    path.write_bytes(damage)
    assert download.fetch(a_file(server.url)).read_bytes() == BODY
    assert server.asked == [None, None]


def test_broken_connection_resumes_with_the_missing_bytes(server, tmp_path):
    # What arrives of an unfinished chunk is lost with the connection.
    server.cut = [2 * CHUNK, CHUNK + 10]
    assert download.fetch(a_file(server.url)).read_bytes() == BODY
    assert server.asked == [None, f"bytes={2 * CHUNK}-", f"bytes={3 * CHUNK}-"]
    assert stored(tmp_path) == ["words.tsv"]


def test_broken_connection_without_ranges_starts_anew(server):
    server.ranges = False
    server.cut = [CHUNK]
    assert download.fetch(a_file(server.url)).read_bytes() == BODY
    assert server.asked == [None, f"bytes={CHUNK}-"]


def test_always_truncated_keeps_the_part_and_says_so(server, tmp_path):
    server.cut = [CHUNK] * 4
    with pytest.raises(OSError, match="could not download") as error:
        download.fetch(a_file(server.url))
    for fact in (
        server.url,
        "in 4 attempts",
        f"Expected {len(BODY)} bytes, got {4 * CHUNK}",
        "BRAINALIGN_MIRROR",
    ):
        assert fact in str(error.value)
    assert stored(tmp_path) == ["words.tsv.part"]
    assert download.fetch(a_file(server.url)).read_bytes() == BODY
    assert server.asked[-1] == f"bytes={4 * CHUNK}-"


def test_truncated_answer_of_unknown_length_is_noticed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "send_header", lambda *_: None)
    server.ranges = False
    server.cut = [1000] * 4
    with pytest.raises(OSError, match=f"ended early, after 1000 of {len(BODY)} bytes"):
        download.fetch(a_file(server.url))
    assert "words.tsv" not in stored(tmp_path)


@pytest.mark.parametrize("junk", [b"x" * 1000, BODY + b"more", b"x" * len(BODY)])
def test_wrong_part_is_deleted_and_started_from_zero_once(server, tmp_path, junk):
    part(tmp_path, junk)
    assert download.fetch(a_file(server.url)).read_bytes() == BODY
    assert server.asked == [f"bytes={len(junk)}-", None]
    assert stored(tmp_path) == ["words.tsv"]


def test_complete_part_of_a_killed_process_is_used(server, tmp_path):
    part(tmp_path, BODY)
    assert download.fetch(a_file(server.url)).read_bytes() == BODY
    assert server.asked == [f"bytes={len(BODY)}-"]


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", BODY + b"more"])
def test_wrong_content_is_an_error_and_leaves_nothing(server, tmp_path, body):
    server.body = body
    with pytest.raises(ValueError, match="not the file that the catalog names") as error:
        download.fetch(a_file(server.url))
    got = "sha256:" + hashlib.sha256(body).hexdigest()
    for fact in (server.url, SHA, got, f"{len(body)} bytes", "BRAINALIGN_MIRROR", "127.0.0.1/data/words.tsv"):
        assert fact in str(error.value)
    assert stored(tmp_path) == []
    assert len(server.asked) == 1


def test_missing_on_the_server_is_not_tried_again(server, tmp_path):
    server.status = 404
    with pytest.raises(FileNotFoundError, match=r"404 Not Found.*BRAINALIGN_MIRROR"):
        download.fetch(a_file(server.url))
    assert len(server.asked) == 1
    assert stored(tmp_path) == []


def test_server_trouble_is_tried_again(server):
    server.status = 503
    with pytest.raises(OSError, match="503"):
        download.fetch(a_file(server.url))
    assert len(server.asked) == 4


def test_no_network(server, tmp_path):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError, match=r"could not download http.*words.tsv.*set BRAINALIGN_MIRROR"):
        download.fetch(a_file(url))
    assert stored(tmp_path) == []


def fetch_in_another_process(url):
    download.fetch(a_file(url))


def test_killed_process_leaves_a_part_that_the_next_goes_on_from(server, tmp_path):
    server.stall = 300_000
    victim = multiprocessing.get_context("fork").Process(target=fetch_in_another_process, args=(server.url,))
    victim.start()
    left = tmp_path / "store" / "downloads" / "127.0.0.1" / "data" / "words.tsv.part"
    until = time.monotonic() + 10
    while time.monotonic() < until and not (left.exists() and left.stat().st_size >= 4 * CHUNK):
        threading.Event().wait(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    have = left.stat().st_size
    assert 0 < have <= 300_000
    assert not left.with_name("words.tsv").exists()
    server.stall = None
    assert download.fetch(a_file(server.url)).read_bytes() == BODY
    assert server.asked == [None, f"bytes={have}-"]


def test_processes_side_by_side_download_once(server, tmp_path):
    jobs = [
        multiprocessing.get_context("fork").Process(target=fetch_in_another_process, args=(server.url,))
        for _ in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    assert server.asked == [None]
    assert stored(tmp_path) == ["words.tsv"]


def test_store_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("a regular file")
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "plain" / "store"))
    with pytest.raises(OSError, match=r"cannot write words.tsv in .*set BRAINALIGN_STORE"):
        download.fetch(a_file(server.url))
    assert server.asked == []


def test_full_disk(server, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_receive", full)
    with pytest.raises(OSError, match=r"cannot write words.tsv.*No space left on device.*disk has room"):
        download.fetch(a_file(server.url))
    assert stored(tmp_path) == []


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    (folder / "example.org" / "data").mkdir(parents=True)
    (folder / "example.org" / "data" / "words.tsv").write_bytes(BODY)
    monkeypatch.setenv("BRAINALIGN_MIRROR", str(folder))
    return folder


def test_mirror_is_copied_and_never_the_network(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_download", None)
    path = download.fetch(a_file())
    assert path == tmp_path / "store" / "downloads" / "example.org" / "data" / "words.tsv"
    assert path.read_bytes() == BODY
    path.write_bytes(b"damaged")
    assert download.fetch(a_file()).read_bytes() == BODY


def test_mirror_without_the_file(mirror, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"other.tsv.*is not in the mirror") as error:
        download.fetch(catalog.DataFile("data/other.tsv", "https://example.org/data/other.tsv", SHA, len(BODY)))
    for fact in (str(mirror / "example.org" / "data" / "other.tsv"), "unset BRAINALIGN_MIRROR"):
        assert fact in str(error.value)
    assert stored(tmp_path, "example.org") == []


def test_mirror_with_another_file(mirror, tmp_path):
    (mirror / "example.org" / "data" / "words.tsv").write_bytes(b"another")
    with pytest.raises(ValueError, match=f"expected {SHA}, got sha256:"):
        download.fetch(a_file())
    assert stored(tmp_path, "example.org") == []


def test_mirror_and_a_store_that_cannot_be_written(mirror, tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("a regular file")
    monkeypatch.setenv("BRAINALIGN_STORE", str(tmp_path / "plain" / "store"))
    with pytest.raises(OSError, match=r"cannot write words.tsv.*BRAINALIGN_STORE"):
        download.fetch(a_file())


def test_bar_on_a_terminal_for_large_files_only(server, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    download.fetch(a_file(server.url)).unlink()
    assert "words.tsv:" not in capsys.readouterr().err
    monkeypatch.setattr(download, "BAR_FROM", 1000)
    download.fetch(a_file(server.url)).unlink()
    assert "words.tsv: 100%" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    download.fetch(a_file(server.url)).unlink()
    assert "words.tsv:" not in capsys.readouterr().err


def test_fetch_all(mirror):
    data = catalog.Dataset("d", "t", "k", "a", "l", "c", "", {}, {}, {"words.tsv": a_file()})
    assert download.fetch_all(data) == {"words.tsv": download.fetch(a_file())}


def test_fetch_all_of_a_data_set_without_a_home():
    with pytest.raises(ValueError, match=r"wehbe2014 has no files.*points the loader at a folder"):
        download.fetch_all("wehbe2014")
