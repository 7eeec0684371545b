"""Regular expressions that are compiled when they are first used: most files need few of them."""

from __future__ import annotations

import re

from zerograd.stand_ins import TYPE_CHECKING

if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:  # noqa: N801 - it stands for the function of this name
        """What ``re.compile`` gives, a little later."""

        def __init__(self, text, flags=0):
            self._written = text, flags

        def __getattr__(self, name):
            found = getattr(re.compile(*self._written), name)
            setattr(self, name, found)  # from now on nothing lies between
            return found


__all__ = ["pattern"]
