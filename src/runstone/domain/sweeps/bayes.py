"""The next parameters of a Bayesian sweep, by Optuna's tree-structured Parzen estimator.

Source: Watanabe, "Tree-Structured Parzen Estimator" (2023), as ``optuna.samplers.TPESampler`` has it. Optuna is an optional package and is
imported on first use.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

from runstone.domain.sweeps.config import Path
from runstone.domain.sweeps.spaces import DISTRIBUTIONS, Choice, Parameter
from runstone.errors import Invalid

#: Runs that are drawn by chance before any is modelled.
STARTUP = 8
#: The latest runs that are looked at.
MAX_SEEN = 1000
#: What warnings are shown is a setting of the whole process.
_lock = threading.Lock()


def next_point(
    space: dict[Path, Parameter], seen: list[tuple[dict[Path, Any], float | None]], maximize: bool, seed: int
) -> dict[Path, Any]:
    """Parameters to be tried next, of runs with their result, or None while they run. Raises :class:`Invalid` without Optuna."""
    try:
        import optuna
    except ImportError:
        raise Invalid("a bayes sweep needs Optuna on the server: pip install 'runstone[bayes]'") from None
    axes = {str(number): path for number, path in enumerate(space)}
    shapes = {axis: _distribution(optuna, space[path]) for axis, path in axes.items()}
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True
        )
        study = optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")
        for params, result in seen[-MAX_SEEN:]:
            known = {
                axis: value
                for axis, path in axes.items()
                if (value := _known(shapes[axis], space[path], params.get(path))) is not None
            }
            if len(known) == len(axes):
                state = (
                    optuna.trial.TrialState.RUNNING if result is None else optuna.trial.TrialState.COMPLETE
                )
                study.add_trial(
                    optuna.trial.create_trial(params=known, distributions=shapes, value=result, state=state)
                )
        chosen = study.ask(shapes).params
    return {path: _value(space[path], chosen[axis]) for axis, path in axes.items()}


def _distribution(optuna: Any, parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        return optuna.distributions.CategoricalDistribution(range(len(parameter.values)))
    low, high = parameter.bounds()
    if parameter.whole:
        return optuna.distributions.IntDistribution(int(low), int(high))
    return optuna.distributions.FloatDistribution(low, high, log=DISTRIBUTIONS[parameter.kind].logarithmic)


def _known(shape: Any, parameter: Parameter, value: Any) -> Any:
    """A value as Optuna knows it; None for one that the parameter cannot have."""
    if isinstance(parameter, Choice):
        return next(
            (at for at, each in enumerate(parameter.values) if each == value and type(each) is type(value)),
            None,
        )
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return min(max(value, shape.low), shape.high)


def _value(parameter: Parameter, chosen: Any) -> Any:
    if isinstance(parameter, Choice):
        return parameter.values[chosen]
    return parameter.rounded(chosen)
