"""Measure the health of each slot's block, and what untrained kernels would learn there at birth.

One forward pass over a probe batch gives the activations.  Two backward passes, of the mean losses
of the whole batch and of its first half, give the gradients g and g_A; that of the second half is
g_B = 2 g - g_A:

    gradient noise log(|g_A - g_B|^2 / 4 |g|^2), within +- `MOST_NOISE`

Logarithms are of at least `LEAST`.  Shapes: B samples, 2 halves, S rows of a half, F features.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esper.attribution.birth import Unborn, birth_scores
from esper.attribution.flow import BlockFlow, watched
from esper.attribution.modes import Key
from esper.contracts.health import BlockHealth
from esper.contracts.slot import Placement
from esper.contracts.stage import SeedStage
from esper.growth.attach import BANK
from esper.growth.bank import guarded
from esper.growth.host import Host
from esper.growth.slot import Slot
from esper.kernels.kernel import Kernel
from esper.probe import units
from esper.probe.modes import eval_mode, every_layer_called
from esper.probe.rng_state import RngState, restored

Probe = Callable[[nn.Module], Tensor]
"""Takes a model; returns the losses (B,) of training samples, with a graph."""

LEAST = 1e-8
MOST_NOISE = 6.0

NUM_INPUTS = 64
"""Most features of a block's input and output between which a linear map is fitted."""
NUM_UNITS = 128
"""Most units of a block that are looked at."""

_Column = dict[str, float | None]
"""One signal, by slot; a slot without it is not measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a probe measured: the health of each slot's block, the first-order score of kernels.

    A kernel that fails has no score; one that cannot be measured has None.
    """

    health: dict[str, BlockHealth]
    scores: dict[Key, float | None]


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Gradients of the mean losses by the id of the tensor, of those tensors that the loss reads.

    whole: of all samples, by the parameters and outputs of blocks.
    first: of the first half, by the parameters of blocks.
    """

    whole: dict[int, Tensor]
    first: dict[int, Tensor]


def block_health(
    host: Host, kernels: Mapping[Key, Kernel], probe: Probe, epoch: int
) -> Measured | None:
    """Return the health of all slots after `epoch`, and the scores of kernels that are in none.

    The host runs in eval mode; host and global random state do not change.  What cannot be
    measured, such as the gradient of frozen parameters, is None; nothing is where a loss is not
    finite, and None is returned.

    Raises:
        ValueError: if the losses are not those of two samples or more, with a graph.
    """
    model, now = host.model, RngState.now()
    with eval_mode(model), guarded(model), every_layer_called(), restored(now):
        with watched(host) as flows:
            losses_B = probe(model)
        parameters = {name: block_parameters(slot) for name, slot in host.slots.items()}
        slopes = _slopes(losses_B, flows.values(), parameters.values())
        if not bool(losses_B.isfinite().all()):
            return None
        columns = {
            **_activations({n: flow for n, flow in flows.items() if flow.output is not None}),
            "linear_gain": _linear_gains(flows, slopes),
            **_weights(parameters, _averages(host)),
            **_gradients(parameters, slopes),
        }
        places = positions(host)
        health = {
            name: BlockHealth(
                epoch=epoch,
                log_parameters=math.log(max(1, _count(parameters[name]))),
                position=places[name],
                **{field: column.get(name) for field, column in columns.items()},
            )
            for name in host.slots
        }
        return Measured(health, _births(host, kernels, flows, slopes))


def positions(host: Host) -> dict[str, float]:
    """Return the position of each slot, as `BlockHealth.position`.

    Without a followed data flow it is by the order of the slots.
    """
    if host.data_flow is not None:
        return dict(host.data_flow.positions)
    last = max(1, len(host.slots) - 1)
    return {name: index / last for index, name in enumerate(host.slots)}


def block_parameters(slot: Slot) -> list[Tensor]:
    """Return the parameters of a slot's block and of its kept kernels."""
    kept = {str(seed.index) for seed in slot.seeds if seed.stage is SeedStage.FOSSILIZED}
    found: list[Tensor] = []
    for name, parameter in slot.module.named_parameters():
        path = name.split(".")
        if BANK not in path or (path[0] == BANK and path[2] in kept):
            found.append(parameter)
    return found


def _slopes(
    losses_B: Tensor, flows: Iterable[BlockFlow], parameters: Iterable[Sequence[Tensor]]
) -> _Slopes:
    """Return the gradients of the mean losses; the last of an odd number of samples is left out."""
    if not isinstance(losses_B, Tensor):
        raise ValueError(
            "probe must return the losses of at least 2 samples, a tensor (B,), got "
            f"{type(losses_B).__name__}"
        )
    half = len(losses_B) // 2 if losses_B.dim() == 1 else 0
    if half == 0 or not losses_B.requires_grad:
        raise ValueError(
            "probe must return the losses of at least 2 samples (B,) with a graph, got shape "
            f"{tuple(losses_B.shape)} and requires_grad={losses_B.requires_grad}"
        )
    weights = [p for each in parameters for p in each if p.requires_grad]
    outputs = [f.output for f in flows if f.output is not None and f.output.requires_grad]
    whole = _grads(losses_B[: 2 * half].mean(), [*weights, *outputs])
    return _Slopes(whole, _grads(losses_B[:half].mean(), weights))


def _grads(loss: Tensor, tensors: Sequence[Tensor]) -> dict[int, Tensor]:
    if not tensors:
        return {}
    grads = torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)
    pairs = zip(tensors, grads, strict=True)
    return {id(tensor): grad for tensor, grad in pairs if grad is not None}


def _averages(host: Host) -> dict[int, Tensor]:
    """Return the average of each parameter over the last epoch, by the id of the parameter."""
    mean = host.average.mean if host.average.epochs else {}
    return {id(p): mean[name] for name, p in host.model.named_parameters() if name in mean}


@torch.no_grad()
def _activations(flows: Mapping[str, BlockFlow]) -> dict[str, _Column]:
    """Return what the outputs and units of blocks say."""
    outputs = {name: flow.output_rows(NUM_UNITS).flatten(0, 1) for name, flow in flows.items()}
    seen = {name: flow.unit_rows(NUM_UNITS).flatten(0, 1) for name, flow in flows.items()}
    variances = _column(lambda rows: rows.var(dim=-2, correction=0).mean(dim=-1), outputs)
    return {
        "activation_variance": {name: _log(value) for name, value in variances.items()},
        "units": {name: float(rows.shape[-1]) for name, rows in seen.items()},
        "effective_rank": _column(units.effective_rank, seen),
        "dead_units": _column(units.dead_units, seen),
        "correlation": _column(units.correlation, seen),
    }


@torch.no_grad()
def _linear_gains(flows: Mapping[str, BlockFlow], slopes: _Slopes) -> _Column:
    """Return the share of the outputs' gradients that a linear map of the inputs predicts."""
    inputs, targets = {}, {}
    for name, flow in flows.items():
        slope = slopes.whole.get(id(flow.output))
        rows = flow.input_rows(NUM_INPUTS)
        if slope is not None and rows is not None:
            inputs[name], targets[name] = rows, flow.rows_of(slope, NUM_INPUTS)
    return _column(units.linear_share, inputs, targets)


def _column(
    measure: Callable[..., Tensor], first: Mapping[str, Tensor], *others: Mapping[str, Tensor]
) -> _Column:
    """Return a signal of all slots, measured together where their tensors have the same shapes."""
    values = (first, *others)
    alike: dict[tuple[torch.Size, ...], list[str]] = {}
    for name in first:
        alike.setdefault(tuple(value[name].shape for value in values), []).append(name)
    column: _Column = {}
    for names in alike.values():
        measured = measure(*[torch.stack([value[name] for name in names]) for value in values])
        column |= zip(names, map(_finite, measured.tolist()), strict=True)
    return column


@torch.no_grad()
def _weights(
    parameters: Mapping[str, Sequence[Tensor]], averages: Mapping[int, Tensor]
) -> dict[str, _Column]:
    """Return the size of the parameters, and how far they moved within the last epoch."""
    norms, updates = _Column(), _Column()
    for name, weights in parameters.items():
        if weights:
            norm = _norm(weights)
            norms[name] = _log(norm / math.sqrt(_count(weights)))
            if norm > 0 and all(id(weight) in averages for weight in weights):
                means = [averages[id(weight)] for weight in weights]
                updates[name] = _log(_distance(weights, means) / norm)
    return {"weight_norm": norms, "update_ratio": updates}


def _gradients(parameters: Mapping[str, Sequence[Tensor]], slopes: _Slopes) -> dict[str, _Column]:
    """Return the size of the parameters' gradients, compared among the slots, and their noise."""
    sizes, noises = dict[str, float](), _Column()
    for name, weights in parameters.items():
        learning = [weight for weight in weights if id(weight) in slopes.whole]
        if learning:
            whole = [slopes.whole[id(weight)] for weight in learning]
            firsts = [slopes.first.get(id(w), torch.zeros_like(w)) for w in learning]
            norm = _norm(whole)
            sizes[name] = norm / math.sqrt(_count(w for w in weights if w.requires_grad))
            # Half the difference of the gradients of both halves.
            noises[name] = _noise(_distance(firsts, whole), norm)
    known = [size for size in sizes.values() if math.isfinite(size)]
    mean = _log(sum(known) / max(1, len(known))) or 0.0
    norms = {name: _log(size) for name, size in sizes.items()}
    ratios = {name: None if norm is None else norm - mean for name, norm in norms.items()}
    return {"gradient_norm": norms, "gradient_ratio": ratios, "gradient_noise": noises}


def _noise(distance: float, norm: float) -> float | None:
    """Return the logarithm of a squared ratio, None without a gradient."""
    if not (0 < norm < math.inf and math.isfinite(distance)):
        return None
    noise = 2 * math.log(distance / norm) if distance > 0 else -math.inf
    return min(MOST_NOISE, max(-MOST_NOISE, noise))


def _births(
    host: Host, kernels: Mapping[Key, Kernel], flows: Mapping[str, BlockFlow], slopes: _Slopes
) -> dict[Key, float | None]:
    """Return the scores of the kernels that do not fail."""
    scores: dict[Key, float | None] = {}
    for name, flow in flows.items():
        keys = [key for key in kernels if key[0] == name]
        is_series = host.slots[name].spec.placement is Placement.SERIES
        source = flow.output if is_series else flow.input
        slope = slopes.whole.get(id(flow.output))
        if source is None or slope is None:
            scores |= dict.fromkeys(keys)
            continue
        like = host.like(name)
        unborn = [
            Unborn(key=key, kernel=kernels[key], source_B=source, slope_B=slope, like=like)
            for key in keys
        ]
        scores |= {key: _finite(score) for key, score in birth_scores(unborn).items()}
    return scores


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.hypot(*map(float, torch._foreach_norm(list(tensors))))


def _distance(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    return _norm([one - other for one, other in zip(tensors, others, strict=True)])


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _log(number: float | None) -> float | None:
    """Return the logarithm of a number that is at least `LEAST`, None if it is not finite."""
    is_known = number is not None and math.isfinite(number)
    return math.log(max(number, LEAST)) if is_known and number is not None else None
