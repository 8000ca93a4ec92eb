"""Errors that a user can cause; the command line prints each in one line."""


class EsperError(Exception):
    """An error that a user can fix; the message names place, value and allowed values."""


class ConfigError(EsperError):
    """An option is unknown, of a wrong type, out of range or at odds with another."""


class LifecycleError(EsperError):
    """A seed cannot make a move because the lifecycle table does not allow it."""


class DataError(EsperError):
    """A data set is missing, broken or does not fit the model."""


class CheckpointError(EsperError):
    """A saved file is missing, broken or not in Esper's format."""


class InterruptionError(EsperError):
    """A run stopped on request, after it saved a checkpoint."""
