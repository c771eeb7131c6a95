"""`python -m mixviz` is the `mixviz` program."""

from mixviz.cli import main

raise SystemExit(main())
