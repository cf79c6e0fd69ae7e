"""So that `python -m brainalign.cli` is the command, also where accelerate launches it."""

import sys

from brainalign.cli.commands import main

sys.exit(main())
