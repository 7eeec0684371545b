"""Whether 8-bit states train as float32 states do: paired runs, in which only the storage differs."""
