"""``python -m carecall``: the command line."""

from carecall.cli import main

main()
