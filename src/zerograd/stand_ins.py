"""Stand-ins for ``dataclasses`` and ``typing``, for the modules of a command that must start at once.

Importing the two, and having the one write twenty classes, takes longer than reading a program of a thousand lines.
Type checkers see the real ones. At run time the words of ``typing`` mean nothing, since annotations are not evaluated,
and ``dataclass`` makes what is asked of it here: an ``__init__``, comparisons by value, a hash for what is frozen.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
    from typing import Any, Final, Literal, NoReturn, TypeVar
else:

    class _Word:
        """Stands where a type would: takes parameters, and means nothing."""

        def __getitem__(self, parameters):
            return self

    Any = Final = Literal = NoReturn = _Word()

    def TypeVar(name):  # noqa: N802, ARG001 - it stands for the class of this name
        return Any

    class field:  # noqa: N801 - it stands for the function of this name
        """A field whose default is made anew for each instance."""

        def __init__(self, default_factory):
            self.default_factory = default_factory

    def dataclass(cls=None, *, frozen=False, eq=True, order=False):
        """As ``dataclasses.dataclass``, with these options. That nothing is set later is left to the type checker."""
        if cls is None:
            return lambda decorated: dataclass(decorated, frozen=frozen, eq=eq, order=order)
        names = tuple(cls.__annotations__)
        cls.__match_args__ = names
        cls.__init__ = _initializer(cls, names)
        cls.__repr__ = _shown
        if eq:
            cls.__eq__ = _equals
            cls.__hash__ = _hashed if frozen else None
        if order:
            cls.__lt__ = _is_less
        return cls

    def _initializer(cls, names):
        head, body, known = ["self"], [], {}
        for name in names:
            if name not in vars(cls):
                head.append(name)
            elif isinstance(default := vars(cls)[name], field):
                known["_new_" + name] = default.default_factory
                head.append(f"{name}=None")
                body.append(f" if {name} is None: {name} = _new_{name}()")
                delattr(cls, name)
            else:
                known["_of_" + name] = default
                head.append(f"{name}=_of_{name}")
            body.append(f" self.{name} = {name}")
        body += [" self.__post_init__()"] if hasattr(cls, "__post_init__") else []
        exec(f"def __init__({', '.join(head)}):\n" + "\n".join(body), known)
        return known["__init__"]

    def _values(self):
        return tuple(getattr(self, name) for name in self.__match_args__)

    def _shown(self):
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({parts})"

    def _equals(self, other):
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def _hashed(self):
        return hash(_values(self))

    def _is_less(self, other):
        return _values(self) < _values(other) if type(other) is type(self) else NotImplemented


__all__ = ["TYPE_CHECKING", "Any", "Final", "Literal", "NoReturn", "TypeVar", "dataclass", "field"]
