"""Are lists and dictionaries of Python still what they were? Asked in machine code, object by object.

A plan is right only while groups, parameters and states are the very objects that it was made of. Comparing a few
thousand of them from Python costs more than a short step; CPython's own functions for lists and dictionaries, called
directly with its lock held, take nanoseconds each. The objects are kept alive here, so that no address is used twice.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.counting import Call
from zerograd.kernels.cpu.kernel import function_at

_LIST, _DICTIONARY = 0, 1
_WORD = ctypes.sizeof(ctypes.c_void_p)


class Watch:
    """Objects to compare with what they were. ``call`` returns 0, or the number (from 1) of the first container that
    has changed; for a tensor that stands for another one now, the number after the last container."""

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self._containers: list[Any] = []
        self._starts: list[int] = []
        self._words: list[int] = []
        self._items: np.ndarray[Any, Any]
        self._tensors: list[tuple[int, int]] = []
        self.call: Call

    def add_list(self, container: list[Any]) -> None:
        """A list that has to hold these very objects."""
        self._add(container, [id(item) for item in container])
        self._kept.append(list(container))

    def add_dictionary(self, container: Mapping[Any, Any], free: Collection[Any] = ()) -> int:
        """A dictionary that has to hold these very keys and values in this order; values of ``free`` keys may change.
        Its number, to renew it."""
        self._add(container, _words(container, free))
        self._kept.append([*container.keys(), *container.values()])
        return len(self._containers)

    def renew(self, number: int, free: Collection[Any] = ()) -> None:
        """Take a dictionary as it is now, which has as many keys as before."""
        container, start = self._containers[number - 1], self._starts[number - 1]
        words = _words(container, free)
        self._items[start : start + len(words)] = words
        self._kept[number - 1] = [*container.keys(), *container.values()]

    def add_tensor(self, tensor: Tensor) -> None:
        """A tensor that has to stand for the same memory object (torch.utils.swap_tensors exchanges them). After all
        containers."""
        offset = tensor_word()
        assert offset is not None
        self._tensors.append((id(tensor) + offset, tensor._cdata))
        self._kept.append(tensor)

    def _add(self, container: Any, words: list[int]) -> None:
        self._containers.append(container)
        self._starts.append(len(self._words))
        self._words += words

    def close(self) -> None:
        """All is added: ``call`` can be used."""
        self._items = np.array(self._words, np.int64)
        rows = np.array(
            [
                (_LIST if isinstance(container, list) else _DICTIONARY, id(container), len(container), start)
                for container, start in zip(self._containers, self._starts, strict=True)
            ],
            np.int64,
        )
        rows[:, 3] = rows[:, 3] * 8 + self._items.ctypes.data  # from an index to an address
        tensors = np.array(self._tensors, np.int64)
        functions = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in _FUNCTIONS]
        words = np.array([len(rows), rows.ctypes.data, len(tensors), tensors.ctypes.data, *functions], np.int64)
        self._kept += [rows, tensors, words]
        self.call = (function_at(_source()), int(words.ctypes.data))


def _words(container: Mapping[Any, Any], free: Collection[Any]) -> list[int]:
    return [word for key, value in container.items() for word in (id(key), 0 if key in free else id(value))]


@functools.cache
def works() -> bool:
    """Whether this interpreter's objects can be looked at so: CPython with its lock, and a trial comes out right."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    return tensor_word() is not None and _trial()


@functools.cache
def tensor_word() -> int | None:
    """The offset, in a tensor's Python object, of the address of what it stands for; None if it is not known."""
    tensors = [torch.zeros(size, device="cpu") for size in (1, 2, 3)]
    for offset in range(2 * _WORD, torch.Tensor.__basicsize__ - _WORD + 1, _WORD):
        if all(ctypes.c_int64.from_address(id(t) + offset).value == t._cdata for t in tensors):
            return offset
    return None


def _trial() -> bool:
    """Changes of every kind have to be seen, and nothing else."""
    key, other = object(), object()
    items, pairs = [key, other], {"a": key, "b": other}
    tensor, second = (torch.zeros(2, device="cpu") for _ in range(2))
    watch = Watch()
    watch.add_list(items)
    watch.add_dictionary(pairs, free=["b"])
    watch.add_tensor(tensor)
    watch.close()
    swap = functools.partial(torch.utils.swap_tensors, tensor, second)
    answers = [pool.run_short(*watch.call) == 0]
    for change, undo, expected in (
        (lambda: items.append(key), items.pop, 1),
        (items.reverse, items.reverse, 1),
        (lambda: pairs.update(a=other), lambda: pairs.update(a=key), 2),
        (lambda: pairs.update(b=key), lambda: pairs.update(b=other), 0),
        (lambda: pairs.update(c=key), lambda: pairs.pop("c"), 2),
        (swap, swap, 3),
    ):
        change()
        answers.append(pool.run_short(*watch.call) == expected)
        undo()
        answers.append(pool.run_short(*watch.call) == 0)
    return all(answers)


_FUNCTIONS = ("PyList_Size", "PyList_GetItem", "PyDict_Size", "PyDict_Next")


@functools.cache
def _source() -> str:
    names = [("rows.n", "i64"), ("rows", "ptr"), ("tensors.n", "i64"), ("tensors", "ptr")]
    names += [(name, "ptr") for name in _FUNCTIONS]
    loads = []
    for word, (name, kind) in enumerate(names):
        loads.append(f"  %{name}.at = getelementptr i64, ptr %words, i64 {word}")
        loads.append(f"  %{name} = load {kind}, ptr %{name}.at, align 8")
    return _SOURCE.replace("<loads>", "\n".join(loads)).replace("<list>", str(_LIST))


_SOURCE = """\
; are lists, dictionaries and tensors what they were?
define i64 @zerograd_kernel(i64 %descriptor) {
entry:
  %words = inttoptr i64 %descriptor to ptr
<loads>
  %position = alloca i64, align 8
  %key.slot = alloca ptr, align 8
  %value.slot = alloca ptr, align 8
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %k.next, %same ]
  %open = icmp slt i64 %k, %rows.n
  br i1 %open, label %work, label %tensors.next
work:
  %place = mul i64 %k, 4
  %row = getelementptr i64, ptr %rows, i64 %place
  %kind = load i64, ptr %row, align 8
  %object.at = getelementptr i64, ptr %row, i64 1
  %object = load ptr, ptr %object.at, align 8
  %count.at = getelementptr i64, ptr %row, i64 2
  %count = load i64, ptr %count.at, align 8
  %items.at = getelementptr i64, ptr %row, i64 3
  %items = load ptr, ptr %items.at, align 8
  %is.list = icmp eq i64 %kind, <list>
  br i1 %is.list, label %list, label %dictionary
list:
  %list.size = call i64 %PyList_Size(ptr %object)
  %list.right = icmp eq i64 %list.size, %count
  br i1 %list.right, label %item.next, label %bad
item.next:
  %i = phi i64 [ 0, %list ], [ %i.next, %item.same ]
  %i.open = icmp slt i64 %i, %count
  br i1 %i.open, label %item, label %same
item:
  %has.item = call i64 %PyList_GetItem(ptr %object, i64 %i)
  %want.item.at = getelementptr i64, ptr %items, i64 %i
  %want.item = load i64, ptr %want.item.at, align 8
  %item.right = icmp eq i64 %has.item, %want.item
  br i1 %item.right, label %item.same, label %bad
item.same:
  %i.next = add i64 %i, 1
  br label %item.next
dictionary:
  %dictionary.size = call i64 %PyDict_Size(ptr %object)
  %dictionary.right = icmp eq i64 %dictionary.size, %count
  store i64 0, ptr %position, align 8
  br i1 %dictionary.right, label %pair.next, label %bad
pair.next:
  %j = phi i64 [ 0, %dictionary ], [ %j.next, %pair.same ]
  %found = call i32 %PyDict_Next(ptr %object, ptr %position, ptr %key.slot, ptr %value.slot)
  %is.found = icmp ne i32 %found, 0
  br i1 %is.found, label %pair, label %same
pair:
  %has.key = load i64, ptr %key.slot, align 8
  %has.value = load i64, ptr %value.slot, align 8
  %pair.place = mul i64 %j, 2
  %want.key.at = getelementptr i64, ptr %items, i64 %pair.place
  %want.key = load i64, ptr %want.key.at, align 8
  %want.value.at = getelementptr i64, ptr %want.key.at, i64 1
  %want.value = load i64, ptr %want.value.at, align 8
  %key.right = icmp eq i64 %has.key, %want.key
  %value.equal = icmp eq i64 %has.value, %want.value
  %value.free = icmp eq i64 %want.value, 0
  %value.right = or i1 %value.equal, %value.free
  %pair.right = and i1 %key.right, %value.right
  br i1 %pair.right, label %pair.same, label %bad
pair.same:
  %j.next = add i64 %j, 1
  br label %pair.next
same:
  %k.next = add i64 %k, 1
  br label %next
tensors.next:
  %t = phi i64 [ 0, %next ], [ %t.next, %tensor.same ]
  %t.open = icmp slt i64 %t, %tensors.n
  br i1 %t.open, label %tensor, label %good
tensor:
  %tensor.place = mul i64 %t, 2
  %word.at = getelementptr i64, ptr %tensors, i64 %tensor.place
  %word = load ptr, ptr %word.at, align 8
  %has.word = load i64, ptr %word, align 8
  %want.word.at = getelementptr i64, ptr %word.at, i64 1
  %want.word = load i64, ptr %want.word.at, align 8
  %word.right = icmp eq i64 %has.word, %want.word
  br i1 %word.right, label %tensor.same, label %bad
tensor.same:
  %t.next = add i64 %t, 1
  br label %tensors.next
good:
  ret i64 0
bad:
  %failed = phi i64 [ %k, %list ], [ %k, %item ], [ %k, %dictionary ], [ %k, %pair ], [ %rows.n, %tensor ]
  %answer = add i64 %failed, 1
  ret i64 %answer
}
"""
