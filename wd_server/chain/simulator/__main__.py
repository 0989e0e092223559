"""`python -m wd_server.chain.simulator` is bin/wd-sim."""

import sys

from wd_server.chain.simulator.cli import main

sys.exit(main())
