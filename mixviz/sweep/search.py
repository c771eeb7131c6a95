"""Search over ranges of settings with Optuna, whose study is rebuilt from the runs in the store.

Nothing else is kept: repeating the command continues the search, wherever the runs were trained.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, get_args

from mixviz.errors import MixvizError
from mixviz.models import model_class
from mixviz.runs import Run, RunStore
from mixviz.sweep.drive import ENDED, run_of
from mixviz.sweep.spec import Choices, Searched, Sweep, Trial, Value, Variant
from mixviz.training.config import RunConfig, configuration

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.samplers import RandomSampler, TPESampler
    from optuna.trial import FrozenTrial, TrialState, create_trial
except ImportError as error:
    raise MixvizError(
        "Optuna is not installed; install it with: pip install -r requirements-cluster.txt."
    ) from error

optuna.logging.set_verbosity(optuna.logging.ERROR)

_TRIES = 50  # at a combination that was not tried yet; the first few by the sampler that learns
_LEARNED = 5


@dataclass
class Proposal:
    """A combination of values, tried with every seed.

    Attributes
    ----------
    values
        By the name of the setting.
    runs
        Ids, one for each seed.
    scores
        Of the runs that are over, by id; None where a run has none.
    """

    values: dict[str, Value]
    runs: list[str] = field(default_factory=list)
    scores: dict[str, float | None] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """Mean score, None while a run is not over, and where one has no score."""
        found = [score for score in self.scores.values() if score is not None]
        return statistics.mean(found) if len(found) == len(self.runs) else None


class Search:
    """One study: proposes values for what a variant leaves open.

    Raises
    ------
    MixvizError
        When a range suits no such setting.
    """

    def __init__(self, store: RunStore, sweep: Sweep, variant: Variant):
        """Prepare; `recall` comes first."""
        self._store, self._sweep, self.variant = store, sweep, variant
        self._distributions = {
            name: self._distribution(name, values) for name, values in variant.searched.items()
        }
        self.proposals: dict[tuple[Value, ...], Proposal] = {}
        self._exhausted = False

    def example(self, chosen: Mapping[str, Value] = MappingProxyType({})) -> Trial:
        """Return a trial at one end of every range but those from which a value is chosen."""
        ends = {name: values.ends[0] for name, values in self.variant.searched.items()}
        return self.variant.trial(self._sweep.each_seed[0], ends | dict(chosen))

    def _distribution(self, name: str, values: Searched) -> BaseDistribution:
        if isinstance(values, Choices):  # as a run has them: YAML reads 1e-3 as text
            read = [self.example({name: choice}).plan.as_json() for choice in values.choices]
            choices = dict.fromkeys(_value_of(config, name) for config in read)
            return CategoricalDistribution(list(choices))
        model = model_class(self.example().plan.model)
        fields = {**RunConfig.model_fields, **model.Config.model_fields}
        annotation = fields[name].annotation
        kinds = get_args(annotation) or (annotation,)
        if float in kinds:
            return FloatDistribution(values.low, values.high, log=values.log)
        if int in kinds:
            return IntDistribution(int(values.low), int(values.high), log=values.log)
        raise MixvizError(f"{name} is no number; give choices in place of low and high.")

    @property
    def left(self) -> int:
        """How many combinations may still be proposed."""
        if self._exhausted:
            return 0
        return max(self._sweep.search.trials - len(self.proposals), 0)

    def recall(self) -> list[str]:
        """Take up what the sweep's runs in the store have tried; returns those runs' ids.

        Where a seed is missing or its run failed, a run is made.
        """
        shelves = [self._store.table(shelf) for shelf in ("archived", "active")]
        tagged = [
            run
            for table in shelves
            for run, tags in zip(table["id"][::-1], table["tags"][::-1], strict=True)
            if self._sweep.name in tags
        ]
        for run in map(self._store.get, tagged):
            values = {name: _value_of(run.config, name) for name in self.variant.searched}
            if self.left and self._allows(values) and self._is_of(run, values):
                self._propose(values)
        return [run for proposal in self.proposals.values() for run in proposal.runs]

    def propose(self) -> list[str]:
        """Return the runs of a new combination, one a seed; none once enough, or all, were tried."""
        if not self.left:
            return []
        past = [self._as_optuna(proposal) for proposal in self.proposals.values()]
        for attempt in range(_TRIES):
            # A sampler that began anew after each interruption would repeat its first values.
            seed = len(self.proposals) * _TRIES + attempt
            sampler = TPESampler(seed=seed) if attempt < _LEARNED else RandomSampler(seed=seed)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            study.add_trials(past)
            values = study.ask(self._distributions).params
            if tuple(values.values()) not in self.proposals:
                return self._propose(values)
        self._exhausted = True
        return []

    def best_found(self) -> dict[str, Any] | None:
        """Return the combination with the largest mean score so far, as `Outcome.best` has it."""
        self._score()
        scored = [each for each in self.proposals.values() if each.mean is not None]
        if not scored:
            return None
        best = max(scored, key=lambda each: each.mean or 0.0)
        return {
            "title": self.variant.title,
            "criterion": self._sweep.search.criterion,
            "values": best.values,
            "mean": best.mean,
            "runs": best.runs,
        }

    def _propose(self, values: Mapping[str, Value]) -> list[str]:
        key = tuple(values[name] for name in self._distributions)
        if key not in self.proposals:
            trials = [self.variant.trial(seed, values) for seed in self._sweep.each_seed]
            runs = [run_of(self._store, trial) for trial in trials]
            self._store.tag(runs, self._sweep.name)
            self.proposals[key] = Proposal(dict(zip(self._distributions, key, strict=True)), runs)
        return self.proposals[key].runs

    def _allows(self, values: Mapping[str, Any]) -> bool:
        """Whether values lie within the ranges, which may have been changed since."""
        try:
            create_trial(params=dict(values), distributions=self._distributions, value=0.0)
        except (TypeError, ValueError):
            return False
        return True

    def _is_of(self, run: Run, values: Mapping[str, Value]) -> bool:
        """Whether a run is one of this search with these values."""
        try:
            trial = self.variant.trial(int(_value_of(run.config, "seed")), values)
            return configuration(trial.plan.as_json()) == configuration(run.config)
        except (MixvizError, TypeError):  # another version's
            return False

    def _as_optuna(self, proposal: Proposal) -> FrozenTrial:
        """What the sampler learns: a run without a score is worse than any with one."""
        self._score()
        mean = proposal.mean
        state = TrialState.COMPLETE
        if mean is None:
            over = len(proposal.scores) == len(proposal.runs)
            state = TrialState.PRUNED if over else TrialState.RUNNING
        return create_trial(
            params=proposal.values, distributions=self._distributions, value=mean, state=state
        )

    def _score(self) -> None:
        for proposal in self.proposals.values():
            for run in proposal.runs:
                if proposal.scores.get(run) is not None:
                    continue
                found = self._store.get(run, deleted=True)
                if found.status in ENDED:  # a run that failed may yet be trained again
                    proposal.scores[run] = score(found, self._sweep.search.criterion)
                else:
                    proposal.scores.pop(run, None)


def score(run: Run, criterion: str) -> float | None:
    """Return a run's score, None where it has none: it diverged, or all is in one cluster."""
    value = run.result.get(criterion, (run.result.get("accuracy") or {}).get(criterion))
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _value_of(config: Mapping[str, Any], name: str) -> Any:
    return {**config.get("settings", {}), **config.get("run", {})}.get(name)
