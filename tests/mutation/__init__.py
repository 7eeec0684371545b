"""Wrong programs made from right ones: one call of the training cycle deleted, moved, swapped, dedented or duplicated."""
