"""Write, rotate and read checkpoints; this folder does not know what they hold."""
