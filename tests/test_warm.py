"""Functions that run in forks of a server are called, end and are ended as in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from brainalign import warm

COMMAND = [sys.executable, "-m", "brainalign.warm"]
ACTS = """
import json, os, sys, time

remembered = []

def remember():
    remembered.append("called")

def report(arguments):
    about = {"arguments": arguments, "folder": os.getcwd(), "mine": os.environ.get("MINE"), "pid": os.getpid()}
    about |= {"loaded": "colorsys" in sys.modules, "remembered": remembered, "parent": os.getppid()}
    print(json.dumps(about | {"input": sys.stdin.read()}))
    print("noted", file=sys.stderr)

def end(arguments):
    if arguments[0] == "exits":
        sys.exit("said")
    if arguments[0] == "fails":
        raise TypeError("wrong")
    if arguments[0] == "dies":
        os.abort()
    return int(arguments[0])

def linger(arguments):
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of a server that has loaded a module and called a function; `acts` has functions to call."""
    folder = tmp_path_factory.mktemp("acts")
    (folder / "acts.py").write_text(ACTS)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    with warm.server(
        ["colorsys", "no_such_module", "acts:remember", "no_such_module:function"], os.environ | {"PYTHONPATH": path}
    ) as found:
        yield found


def gone(pid):
    """Whether a process ends within seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_call_has_arguments_folder_environment_input_and_output_of_the_caller(environment, tmp_path):
    call = {"capture_output": True, "text": True, "cwd": tmp_path, "input": "read", "check": True}
    long = "x" * 300_000  # more than a socket takes at once
    done = subprocess.run([*COMMAND, "acts:report", "a b", "ü"], env=environment | {"MINE": long[:100_000]}, **call)
    about = json.loads(done.stdout)
    assert (about["arguments"], about["folder"], about["input"]) == (["a b", "ü"], str(tmp_path), "read")
    assert (
        about["loaded"]
        and about["remembered"] == ["called"]
        and about["mine"] == long[:100_000]
        and done.stderr == "noted\n"
    )
    alone = {name: value for name, value in environment.items() if name != warm.SERVER}
    without = json.loads(subprocess.run([*COMMAND, "acts:report", "a b", "ü"], env=alone, **call).stdout)
    assert without["arguments"] == about["arguments"] and not without["loaded"] and not without["remembered"]


@pytest.mark.parametrize(("how", "status", "said"), [
    ("0", 0, ""), ("3", 3, ""), ("exits", 1, ""), ("fails", 1, "TypeError: wrong"), ("dies", warm.KILLED, ""),
])  # fmt: skip
def test_a_call_ends_with_the_status_of_the_function(environment, how, status, said):
    done = subprocess.run([*COMMAND, "acts:end", how], env=environment, capture_output=True, text=True)
    assert done.returncode == status and said in done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_fork_ends_with_its_caller(environment, how):
    with subprocess.Popen([*COMMAND, "acts:linger"], env=environment, stdout=subprocess.PIPE) as caller:
        fork = int(caller.stdout.readline())
        assert fork != caller.pid
        caller.send_signal(how)
    assert gone(fork)


def test_a_server_ends_with_who_has_started_it_and_calls_then_do_without():
    code = (
        "import os, signal\nfrom brainalign import warm\n"
        "with warm.server(['colorsys'], os.environ) as found:\n"
        "    print(found[warm.SERVER], flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    command = [*COMMAND, "shlex:join", ""]
    there = os.environ | {warm.SERVER: dead.stdout.strip()}
    deadline = time.monotonic() + 20
    while subprocess.run(["pgrep", "-f", dead.stdout.strip()], capture_output=True).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert subprocess.run(command, env=there, capture_output=True).returncode == 1  # a text, to stderr


def test_without_modules_there_is_no_server():
    with warm.server([], {"A": "b"}) as environment:
        assert environment == {"A": "b"}
