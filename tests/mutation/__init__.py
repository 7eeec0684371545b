"""Wrong programs made from right ones: one call of the cycle deleted, moved, swapped, dedented or duplicated."""
