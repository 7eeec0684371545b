"""The engine: the one optimizer class and the one step loop, for every rule.

No algorithm is named in here. The parts, in order of reading:

- ``construction``, ``validation``, ``documentation``: from a rule to a class, its checks and its docstring
- ``optimizer``, ``hooks``: what all classes inherit, and what is round its ``step``
- ``stepping``: the loop, in one page; ``gradients``: measured, clipped, or found not to be numbers
- ``gathering``, ``dividing``, ``admission``: from groups to buckets; what a kernel may touch by its address
- ``buckets``, ``kernel_buckets``, ``matrix_buckets``: the tensors that one call serves; ``programs``: printed graphs
- ``plan``, ``eager_plan``, ``witness``, ``numbers``: a step that has been gathered once, and whether it still holds
- ``columns``, ``scalar_states``, ``early_states``, ``vector_state``: states that are not one tensor like the parameter
- ``state_formats``, ``coding``: in which format a state starts, and how it goes in and out of it
- ``checkpoints``, ``matching``, ``incompatible``, ``storing``: loading and saving
- ``evaluation``: other weights to evaluate than to train
- ``dtensors``, ``sharding``, ``incomplete``: several processes; ``dynamo``, ``recording``: torch's other ways to run
- ``inventory``: what is told of all this; ``explaining``: cures in errors of torch's; ``owning``: who keeps whom alive
"""
