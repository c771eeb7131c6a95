"""Generate: samples, reconstructions, interpolations and styles of a run's model, and the pad."""

from mixviz.ui.cards import choose
from mixviz.ui.runs import chosen_run

run = chosen_run()
if run is None:
    choose("generate")
else:
    from mixviz.ui.generate import generate  # imports PyTorch, for which the hint need not wait

    generate(run)
