"""Fits one estimator of mixviz for `peers.py`, by the same job and answer as `peers_worker.py`."""

import time
from itertools import pairwise
from typing import Any

import mixviz
from benchmarks.peers_worker import Fit, Job, Labels, main, split_stages

_IN_EPOCHS = ("teacher_epochs", "std_period", "halving_period")


def of_mixviz(model: str) -> Fit:
    """Return the fit of the estimator called `model`."""

    def fit(job: Job, x: Any) -> tuple[Labels, dict[str, list[float]]]:
        epochs, settings = job["epochs"], shortened(job["settings"], job["share"])
        if "pretrain_epochs" in epochs:
            settings["pretrain_epochs"] = epochs["pretrain_epochs"]
        times: list[float] = []

        def stamp(*_: Any) -> None:
            times.append(time.perf_counter())

        class Timed(getattr(mixviz, model)):  # type: ignore[misc]
            def _start(self, X: Any) -> Any:
                started = super()._start(X)
                stamp()
                return started

        fitted = Timed(
            n_components=job["clusters"],
            epochs=sum(epochs.values()),
            random_state=job["seed"],
            device="cpu",
            callbacks=[stamp],
            **settings,
        ).fit(x)
        seconds = [after - before for before, after in pairwise(times)]
        return {"labels_": fitted.labels_}, split_stages(seconds, epochs)

    return fit


def shortened(settings: dict[str, Any], share: float) -> dict[str, Any]:
    """Shorten schedules that are counted in epochs as the epochs were; none is stretched."""
    found = dict(settings)
    for name in _IN_EPOCHS:
        if name in found and share < 1:
            kept = share * found[name]
            found[name] = max(1, round(kept)) if isinstance(found[name], int) else kept
    return found


if __name__ == "__main__":
    main({"mixviz": of_mixviz})
