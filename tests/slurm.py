"""A SLURM of one node, on this machine and for one test: its own daemons, keys and ports, in a folder."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from waiting import wait_for

DAEMONS = ("munged", "slurmctld", "slurmd")
PARTITION = "little"
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2
ReturnToService=2
KillWait=2
MinJobAge=86400
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName={partition} Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Say why there can be no SLURM here; None where there can."""
    absent = [name for name in (*DAEMONS, "sbatch", "srun") if shutil.which(name) is None]
    if absent:
        return f"no {' and no '.join(absent)}: install slurm-wlm and munge"
    return "its daemons run as root" if os.geteuid() else None


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a SLURM in an empty folder; gives what its commands need in their environment."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    key, config = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    host = socket.gethostname().partition(".")[0]
    config.write_text(CONFIG.format(folder=folder, host=host, ports=free_ports(2), partition=PARTITION))
    # In a job, Snakemake drops SLURM's variables; where this SLURM is, srun learns here.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={config} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    environment = os.environ | {"SLURM_CONF": str(config)}
    places = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *places]
    commands = [munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]]
    daemons = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("w")
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            if command is munge:
                wait_for(lambda: (folder / "munge.socket").exists(), 10)
        ready = ["sinfo", "--noheader", "--states=idle", "--format=%N"]
        wait_for(lambda: host in subprocess.run(ready, env=environment, capture_output=True, text=True).stdout, 90)
        yield {"SLURM_CONF": str(config), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    finally:
        subprocess.run(["scancel", "--me"], env=environment, capture_output=True)
        left = ["squeue", "--noheader"]
        with suppress(AssertionError):
            wait_for(lambda: not subprocess.run(left, env=environment, capture_output=True, text=True).stdout, 20)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=20)


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
