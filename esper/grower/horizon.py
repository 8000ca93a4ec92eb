"""The epochs with which a run reckons that has no budget."""

AUTO = "auto"
"""The word for epochs without a budget."""
TRIAL_EPOCHS = 10
"""Epochs from a germination to the verdict at the last of the usual looks, and one more."""


def horizon(epoch: int) -> int:
    """Return the epochs with which a run without a budget reckons after an epoch.

    It is planned to go on for as long as it has, and for as long as a trial takes twice over: so
    that trials begin in the first half of the budget, and no look is hurried by its end.
    """
    return 2 * (epoch + TRIAL_EPOCHS)


def epochs_at(given: int | str, epoch: int) -> int:
    """Return the budget that is given, or the `horizon` of an epoch."""
    return horizon(epoch) if isinstance(given, str) else given
