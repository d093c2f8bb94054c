"""``python -m runstone`` is ``runstone``."""

import sys

from runstone.cli.main import main

sys.exit(main())
