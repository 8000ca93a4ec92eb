"""The folder of a run on disk: its file names, its lock and its reader."""
