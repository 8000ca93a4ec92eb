"""The numbers of `summary.json`."""

import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from esper.attribution.trials import BACKWARD
from esper.contracts.stage import SeedStage
from esper.grower.grower import Grower

_OTHER = ("attribution", "probe", "checkpoint")
"""What an epoch's time is spent on beside training, evaluation and control."""
_LIBRARIES = ("torch", "numpy", "hydra-core", "omegaconf", "wandb", "scikit-learn")


def summarise(
    grower: Grower, lines: Sequence[Mapping[str, Any]], test: Mapping[str, float], num_samples: int
) -> dict[str, Any]:
    """Return the numbers of a finished run, except its time and the names of its options.

    Args:
        grower: after the last step.
        lines: the lines of `metrics.jsonl`, one for each epoch from the first on.
        test: `test_accuracy`, `test_loss` and `read_out_epoch` of the network that was read out.
        num_samples: samples that an epoch trains on.
    """
    tally = grower.settler.tally
    seeds = list(grower.host.seeds())
    fossils = [seed for seed in seeds if seed.stage is SeedStage.FOSSILIZED]
    params = grower.host.num_parameters
    busy = sum(line["train_ms"] + line["evaluation_ms"] for line in lines)
    other = sum(line[f"{name}_ms"] for line in lines for name in _OTHER)
    control = sum(line["control_ms"] for line in lines)
    spent = sum(line["flops"] for line in lines)
    plain = (1 + BACKWARD) * grower.host.flops * num_samples * len(lines)
    return {
        **test,
        "read_out_val_accuracy": lines[int(test["read_out_epoch"]) - 1]["val_accuracy"],
        "best_val_accuracy": _best(lines),
        "params_final": params,
        "train_flops": spent,
        # What the final network costs, trained from the start as it is.
        "final_plain_flops": plain,
        "cost_ratio": spent / plain if plain else None,
        "control_fraction": control / (busy + other + control),
        "seeds_germinated": sum(seed.activations for seed in seeds),
        "seeds_fossilized": tally.fossilized,
        "seeds_culled": tally.culled,
        "decisions": grower.num_decisions,
        "adaptations_succeeded": tally.succeeded,
        "expected_vs_measured": tally.expectation.correlation,
        "rollbacks": grower.governor.rollbacks,
        "recoveries": dict(grower.guard.recovered),
        "failures_not_recovered": dict(grower.guard.unrecovered),
        "quarantined": sorted(grower.guard.quarantined),
        "epochs_not_finite": sum(not _is_finite(line) for line in lines),
        "grown": [
            {
                "slot": seed.slot,
                "seed": seed.index,
                "blueprint": seed.activation.blueprint,
                "parameters": seed.activation.parameters,
                "gain": seed.activation.gain,
            }
            for seed in fossils
        ],
    }


def _is_finite(line: Mapping[str, Any]) -> bool:
    losses = (line["train_loss"], line["val_loss"])
    return all(loss is not None and math.isfinite(loss) for loss in losses)


def _best(lines: Sequence[Mapping[str, Any]]) -> float | None:
    known = [line["val_accuracy"] for line in lines if line["val_accuracy"] is not None]
    return max(known, default=None)


def git_sha() -> str | None:
    """Return the commit of the working directory, None outside a git repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Return the versions of Python, Esper and the libraries that can change results."""
    return {
        "python": platform.python_version(),
        "esper": version("esper-morph"),
        **{name: version(name) for name in _LIBRARIES},
    }
