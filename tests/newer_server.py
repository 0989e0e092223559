"""`bin/wd-server` as a later release will be: it stores checkpoints of the next version."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from wd_server.cli import main
from wd_server.sync import checkpoint

if __name__ == "__main__":
    checkpoint.VERSION += 1  # type: ignore[misc]
    sys.exit(main())
