"""The life of a gradient: accumulation, and the guard."""
