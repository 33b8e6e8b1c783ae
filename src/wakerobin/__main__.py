"""`python -m wakerobin`."""

from wakerobin.cli import main

main()
