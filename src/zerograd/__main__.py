"""``python -m zerograd``: the command ``zerograd``, where the folder of scripts is not on the path."""

import sys

from zerograd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
