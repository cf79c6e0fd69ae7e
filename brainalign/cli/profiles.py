"""Where steps run: profiles of Snakemake, and what can be wrong with a cluster before anything is handed in.

A profile is a folder with a `config.yaml`, whose keys are options of Snakemake: one of `workflow/profiles` by its name,
or one of your own by its path.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from brainalign import messages, store

FOLDER = store.PROJECT / "workflow" / "profiles"
LOCAL = "local"
SETTINGS = "config.yaml"


@dataclass(frozen=True)
class Profile:
    """A profile, and what it says."""

    folder: Path
    settings: Mapping[str, object]

    @property
    def remote(self) -> bool:
        """Whether steps run elsewhere."""
        return self.settings.get("executor", LOCAL) != LOCAL

    @property
    def slurm(self) -> bool:
        """Whether it hands steps to SLURM."""
        return self.settings.get("executor") == "slurm"

    def resources(self, partition: str | None = None, account: str | None = None) -> dict[str, object]:
        """Default resources of a step; a partition and an account of SLURM that are given win over the profile's.

        So do `SBATCH_PARTITION` and `SBATCH_ACCOUNT`, as for SLURM's own commands.
        """
        options = {
            "slurm_partition": partition or os.environ.get("SBATCH_PARTITION"),
            "slurm_account": account or os.environ.get("SBATCH_ACCOUNT"),
        }
        return self.settings.get("default-resources", {}) | {name: value for name, value in options.items() if value}


def names() -> list[str]:
    """Profiles that the project ships."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{SETTINGS}"))


def load(name: str) -> Profile:
    """Read a profile: a name from `workflow/profiles`, or the path of a folder; errors say what is wrong with it."""
    for folder in (FOLDER / name, Path(name).resolve()):
        if (path := folder / SETTINGS).is_file():
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(settings, dict) or not isinstance(settings.get("default-resources", {}), dict):
                raise ValueError(f"{path}: write options of Snakemake, `key: value`, and default-resources likewise")
            return Profile(folder, settings)
    raise LookupError(f"{messages.unknown('profile', name, names())} Or give the path of a folder with a {SETTINGS}.")


def scarce() -> dict[str, int]:
    """What steps share on this machine: its GPUs, and the megabytes of its memory. Empty without a GPU.

    Without one, models are little, and steps are as few as there are cores.
    """
    if shutil.which("nvidia-smi") is None:
        return {}
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    n_gpus = len(listed.stdout.splitlines() if visible is None else list(filter(None, visible.split(","))))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return {"gpu": n_gpus, "mem_mb": memory} if n_gpus else {}


def check_place() -> None:
    """Raise where a shell would not read the path of the checkout, or of Python, as it is: executors do not quote."""
    project, python = str(store.PROJECT), sys.executable
    # Paths in the checkout are put between quotes, which do not keep these from a shell; Python's is not.
    for label, path, plain in (
        ("the checkout", project, re.search(r'["$`\\\n]', project) is None),
        ("Python", python, shlex.quote(python) == python),
    ):
        if not plain:
            raise ValueError(
                f"jobs cannot be handed in from here: a shell would not read the path of {label} as it is, {path}. "
                "Move it to a plainer one, or run here with --profile local."
            )


def check(resources: Mapping[str, object]) -> None:
    """Raise where SLURM does not answer or lacks the partition, which a job would learn only after it is handed in."""
    if shutil.which("sbatch") is None:
        raise OSError("there is no sbatch on the PATH. Run this where jobs are handed in, or with --profile local.")
    answer = subprocess.run(["sinfo", "--all", "--noheader", "--format=%R"], capture_output=True, text=True)
    if answer.returncode:
        raise OSError(f"SLURM does not answer: {answer.stderr.strip()}")
    partitions = sorted(set(answer.stdout.split()))
    for partition in filter(None, str(resources.get("slurm_partition", "")).split(",")):
        if partition not in partitions:
            raise LookupError(f"{messages.unknown('partition of SLURM', partition, partitions)} --partition names one.")
