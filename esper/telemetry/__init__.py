"""Tell people what a run does: an event bus and its sinks.  Nothing here steers a run."""
