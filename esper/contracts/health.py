"""The health of a slot's block: what one probe of the network measures there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHealth:
    """Signals of one block; logarithms are natural, unmeasured is None, never healthy.

    A unit is a feature of the block's hidden activations: of the input of its last layer with
    weights, or of its output if the block is a single layer.

    epoch: at the end of which it was measured.
    log_parameters: of the block's parameters, kept kernels included.
    position: length of the longest path of the data from the input to the block, relative to the
        longest of any slot, in [0, 1].
    activation_variance: log of the mean variance, over samples, of the block's output.
    weight_norm: log of the root mean square of its parameters.
    linear_gain: cross-validated share of the loss's gradient at the block's output that a linear
        map of the block's input predicts, in [-1, 1].
    units: number of its units, of which at most 128 are looked at.
    effective_rank: participation ratio of the units' covariance, relative to their number, in
        [0, 1].
    gradient_norm: log of the root mean square of its parameters' gradient.
    gradient_ratio: `gradient_norm` less that of the mean over the slots.
    update_ratio: log of the distance of its parameters from their average over the last epoch,
        relative to their norm.
    dead_units: share of the units that hardly change over the samples, in [0, 1].
    correlation: mean absolute correlation between its live units, in [0, 1].
    gradient_noise: log of the variance of the gradient of a half of the probe's samples, relative
        to the square of its norm, in [-6, 6].
    """

    epoch: int
    log_parameters: float
    position: float
    activation_variance: float | None = None
    weight_norm: float | None = None
    linear_gain: float | None = None
    units: float | None = None
    effective_rank: float | None = None
    gradient_norm: float | None = None
    gradient_ratio: float | None = None
    update_ratio: float | None = None
    dead_units: float | None = None
    correlation: float | None = None
    gradient_noise: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What a kernel of a blueprint would be when it germinates in a slot.

    first_order: L1 norm of its gradient at birth, >= 0; None when not measured.
    added_flops: its forward FLOPs, relative to those of the network without live kernels, > -1.
    """

    blueprint: str
    first_order: float | None
    added_flops: float
