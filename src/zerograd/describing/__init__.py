"""Words and numbers about what is there, for `zerograd show` and `zerograd doctor`: what a rule is and what its step
costs, what works on this machine and why.

``subjects`` finds what a name stands for, ``pricing`` counts on its graph, ``pages`` puts a page together, ``health``
tries the backends, ``diagnosis`` says what it found, ``screen`` writes it all.
"""
