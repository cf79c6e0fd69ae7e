"""Runs functions in forks of one process that has loaded what they need: to load it takes longer than most steps.

    with warm.server(["torch"], os.environ) as environment:  # who is started with this environment finds the server
        subprocess.run(["python", "-m", "brainalign.warm", "MODULE:FUNCTION", "ARGUMENT"], env=environment)

Where there is no server, the command calls the function itself. It ends when the function does, with its status; and
where the command is ended, so is the fork.
"""

import json
import os
import pkgutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SERVER = "BRAINALIGN_WARM"  # the socket that it listens at
# Numerical libraries read these when they are loaded. CUDA, once asked for its devices, is of no use to a fork.
SETTINGS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SETTINGS |= {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
PIECE = 1 << 16  # bytes of a call that are read at once
KILLED = 137  # the status that a shell gives


@contextmanager
def server(modules: Sequence[str], environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Serve forks that have some modules loaded, and some functions called, of one thread each, while the block lasts.

    Parameters
    ----------
    modules : sequence of str
        What to load, and written ``module:function`` what to call, as it remembers its result. Of what cannot be
        loaded, whoever needs it says so. If there is nothing, there is no server; nor on macOS, whose frameworks do not
        bear to be forked.
    environment : mapping
        Of the server.

    Yields
    ------
    dict
        The environment in which `run` finds the server.
    """
    if not modules or sys.platform == "darwin":
        yield {**environment}
        return
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        address = str(Path(folder, "socket"))
        command = [sys.executable, "-c", "from brainalign import warm; warm.serve()", address, *modules]
        with subprocess.Popen(command, env={**environment, **SETTINGS}, stdout=subprocess.PIPE) as process:
            process.stdout.readline()  # it listens, and calls wait until it has loaded its modules
            try:
                yield {**environment, SERVER: address}
            finally:
                process.terminate()


def serve() -> None:
    """Listen at the address that is the first argument, load the modules that are the others, and serve."""
    address, *modules = sys.argv[1:]
    with suppress(KeyboardInterrupt), _Forks(address, _Fork) as forks:
        print(flush=True)
        with warnings.catch_warnings(action="ignore"):  # nobody has asked for this yet
            for name in modules:
                with suppress(ImportError):
                    if callable(loaded := pkgutil.resolve_name(name)):
                        loaded()
        forks.serve_forever()


def serving() -> bool:
    """Whether there is a server for this process, which is no fork itself."""
    return SERVER in os.environ and not _Fork.active


def run(function: str, arguments: Sequence[str]) -> int:
    """Call a function with a list of arguments: in a fork of the server, or here if there is none.

    Parameters
    ----------
    function : str
        Written ``module:function``.
    arguments : sequence of str

    Returns
    -------
    int
        Its status: what it returns or exits with, 0 for nothing; `KILLED` if the fork was.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        if connection.connect_ex(os.environ.get(SERVER, "")):
            return pkgutil.resolve_name(function)(list(arguments)) or 0
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing to tidy up here
        call = {"function": function, "arguments": list(arguments)}
        call |= {"folder": os.getcwd(), "environment": dict(os.environ)}
        socket.send_fds(connection, [json.dumps(call).encode() + b"\n"], [0, 1, 2])
        status = connection.recv(1)
    return status[0] if status else KILLED


class _Forks(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """A process for each call; nobody waits for another."""

    max_children = sys.maxsize
    request_queue_size = 128
    parent = os.getppid()

    def service_actions(self) -> None:
        """Twice a second: end with whoever has started this, also if that was killed."""
        super().service_actions()
        if os.getppid() != self.parent:
            sys.exit()


class _Fork(socketserver.BaseRequestHandler):
    """Does what was called for, with the caller's input, output, folder and environment."""

    active = False  # whether this process is one

    def handle(self) -> None:
        _Fork.active = True
        text, descriptors, *_ = socket.recv_fds(self.request, PIECE, 3)
        while not text.endswith(b"\n"):
            text += self.request.recv(PIECE)
        call = json.loads(text)
        for place, descriptor in enumerate(descriptors):
            os.dup2(descriptor, place)
            os.close(descriptor)
        os.chdir(call["folder"])
        os.environ.clear()
        os.environ.update(call["environment"])
        threading.Thread(target=self.end_with_caller, daemon=True).start()
        self.request.sendall(bytes([self.status(call["function"], call["arguments"])]))

    def status(self, function: str, arguments: list[str]) -> int:
        """Status as of a process of its own."""
        try:
            status = pkgutil.resolve_name(function)(arguments)
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return status if isinstance(status, int) else int(status is not None)

    def end_with_caller(self) -> None:
        """Wait for the end of the connection."""
        self.request.recv(1)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
