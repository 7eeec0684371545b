"""`zerograd lint`: fixtures that are documentation and tests at once, the engine's laws, and the gate."""
