"""Data sets, held in memory, and the batches made of them."""
