"""`python -m nnc`: the same as the command `nnc`."""
import sys

from nnc.cli import main

sys.exit(main())
