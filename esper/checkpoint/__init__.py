"""How a checkpoint is written, kept and read; what goes into it is none of its business."""
