"""The one tree of errors that a user can cause and that the command line turns into one line."""


class EsperError(Exception):
    """Something a user can mend; its text says what, where, which value and what is allowed."""


class ConfigError(EsperError):
    """An option is unknown, of a wrong type, out of range or at odds with another."""


class LifecycleError(EsperError):
    """A seed was asked to make a move that the lifecycle table does not hold."""


class DataError(EsperError):
    """A data set is missing, broken or does not fit the model."""


class CheckpointError(EsperError):
    """A saved file is missing, broken or not in Esper's format."""


class InterruptionError(EsperError):
    """A run was asked to stop, and did, after it saved where it stood."""
