"""`python -m wd_tools.simulator` is bin/wd-sim."""

import sys

from wd_tools.simulator.cli import main

sys.exit(main())
