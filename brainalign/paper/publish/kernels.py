"""Kernels of notebooks, which are forked off a process that has loaded what they need, where there is one (`warm`)."""

import sys

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

COMMAND = ["-m", "brainalign.warm", "ipykernel.kernelapp:launch_new_instance", "-f", "{connection_file}"]


class KernelManager(AsyncKernelManager):
    """Starts Python's own kernel, in a fork if it can."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How it is started, whatever kernels are installed."""
        return KernelSpec(argv=[sys.executable, *COMMAND], display_name="Python 3", language="python")
