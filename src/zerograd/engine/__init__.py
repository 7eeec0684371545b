"""The engine: the one optimizer class and the one step loop, for every rule.

``construction`` makes classes from rules, ``optimizer`` is what they inherit, ``stepping`` is the loop;
``gathering`` and ``buckets`` put together the tensors that one kernel call serves, ``columns`` keeps the numbers per
parameter, ``programs`` the printed graphs.
No algorithm is named in here.
"""
