"""zerograd: the update half of a PyTorch training step (being written)."""
