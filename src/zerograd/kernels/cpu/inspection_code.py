"""The inspector's questions in LLVM's language: record by record, with memory fetched ahead."""

from __future__ import annotations

import functools

FIXED, GRADIENT, ABSENT = range(3)
"""What a record asks: the tensor itself is what it was; its gradient is as expected; it has no gradient."""

QUESTIONS = ("is_defined", "get_dtype", "get_dim", "get_sizes", "get_strides", "get_data_ptr")

RECORD = 10
"""Words of a record: the tensor, what is asked, its address, dtype, dimensions, where sizes and strides are, where to
put the gradient's address, its bytes; where the gradient was found last, to fetch
that ahead; its dispatch keys."""

NONE = 4
FAR, NEAR = 24, 10
"""Records ahead of which memory is fetched, for between two steps the caches were used for other things: first the
tensor itself, then its gradient, or the storage that it names in its third word. (A wrong guess does no harm.)"""


@functools.cache
def source() -> str:
    """The module that asks; its function takes the address of a descriptor (see ``inspector``)."""
    names = ["gradient", *(name.removeprefix("get_") for name in QUESTIONS)]
    loads = []
    for word, name in enumerate(["n", "records", "spans", "starts", "ends", *names, "keys.offset"]):
        kind = "i64" if name in ("n", "spans", "keys.offset") else "ptr"
        loads.append(f"  %{name}.at = getelementptr i64, ptr %words, i64 {word}")
        loads.append(f"  %{name} = load {kind}, ptr %{name}.at, align 8")
    fields = []
    for word, name in enumerate(["impl", "kind", "expected", "want.dtype", "want.dim", "shape", "place", "bytes"]):
        kind = "ptr" if name in ("impl", "shape", "place") else "i64"
        fields.append(f"  %{name}.at = getelementptr i64, ptr %record, i64 {word}")
        fields.append(f"  %{name} = load {kind}, ptr %{name}.at, align 8")
    return _SOURCE.format(
        loads="\n".join(loads), fields="\n".join(fields), record=RECORD, absent=ABSENT, fixed=FIXED,
        far=FAR * RECORD, near=NEAR * RECORD, none=NONE,
    )  # fmt: skip


_SOURCE = """\
; are all tensors what they were?
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
define i64 @zerograd_kernel(i64 %descriptor) {{
entry:
  %words = inttoptr i64 %descriptor to ptr
{loads}
  %answer = alloca i64, align 8
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %next, label %good
next:
  %k = phi i64 [ 0, %entry ], [ %k.next, %found ]
  %record.word = mul i64 %k, {record}
  %record = getelementptr i64, ptr %records, i64 %record.word
{fields}
  %far.word = add i64 %record.word, {far}
  %far.at = getelementptr i64, ptr %records, i64 %far.word
  %far = load ptr, ptr %far.at, align 8
  %far.2 = getelementptr i8, ptr %far, i64 64
  %far.3 = getelementptr i8, ptr %far, i64 128
  call void @llvm.prefetch.p0(ptr %far, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %far.2, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %far.3, i32 0, i32 3, i32 1)
  %far.found.at = getelementptr i64, ptr %far.at, i64 8
  %far.found = load ptr, ptr %far.found.at, align 8
  call void @llvm.prefetch.p0(ptr %far.found, i32 0, i32 3, i32 1)
  %near.word = add i64 %record.word, {near}
  %near.at = getelementptr i64, ptr %records, i64 %near.word
  %near = load ptr, ptr %near.at, align 8
  %near.kind.at = getelementptr i64, ptr %near.at, i64 1
  %near.kind = load i64, ptr %near.kind.at, align 8
  %near.fixed = icmp eq i64 %near.kind, {fixed}
  %near.none = icmp eq i64 %near.kind, {none}
  br i1 %near.none, label %asked, label %near.real
near.real:
  br i1 %near.fixed, label %near.tensor, label %near.gradient
near.gradient:
  %near.handle = call ptr %gradient(ptr %near)
  %near.grad = load ptr, ptr %near.handle, align 8
  %near.grad.2 = getelementptr i8, ptr %near.grad, i64 64
  call void @llvm.prefetch.p0(ptr %near.grad, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %near.grad.2, i32 0, i32 3, i32 1)
  br label %asked
near.tensor:
  %near.storage.at = getelementptr i8, ptr %near, i64 16
  %near.storage = load ptr, ptr %near.storage.at, align 8
  %near.storage.2 = getelementptr i8, ptr %near.storage, i64 64
  call void @llvm.prefetch.p0(ptr %near.storage, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %near.storage.2, i32 0, i32 3, i32 1)
  br label %asked
asked:
  %is.fixed = icmp eq i64 %kind, {fixed}
  br i1 %is.fixed, label %looks, label %of.gradient
of.gradient:
  %grad = call ptr %gradient(ptr %impl)
  store i64 0, ptr %answer, align 8
  %e0 = call i32 %is_defined(ptr %grad, ptr %answer)
  %defined.byte = load i8, ptr %answer, align 8
  %defined = icmp ne i8 %defined.byte, 0
  %is.absent = icmp eq i64 %kind, {absent}
  br i1 %is.absent, label %must.be.absent, label %must.be.there
must.be.absent:
  br i1 %defined, label %bad, label %found
must.be.there:
  br i1 %defined, label %looks, label %bad
looks:
  %handle = phi ptr [ %record, %asked ], [ %grad, %must.be.there ]
  %object = load ptr, ptr %handle, align 8
  %keys.at = getelementptr i8, ptr %object, i64 %keys.offset
  %has.keys = load i64, ptr %keys.at, align 8
  %want.keys.at = getelementptr i64, ptr %record, i64 9
  %want.keys = load i64, ptr %want.keys.at, align 8
  %same.keys = icmp eq i64 %has.keys, %want.keys
  br i1 %same.keys, label %same.kind, label %bad
same.kind:
  %e3 = call i32 %dtype(ptr %handle, ptr %answer)
  %has.dtype = load i32, ptr %answer, align 8
  %want.dtype.code = trunc i64 %want.dtype to i32
  %same.dtype = icmp eq i32 %has.dtype, %want.dtype.code
  %e4 = call i32 %dim(ptr %handle, ptr %answer)
  %has.dim = load i64, ptr %answer, align 8
  %same.dim = icmp eq i64 %has.dim, %want.dim
  %alike = and i1 %same.dtype, %same.dim
  br i1 %alike, label %ask.shape, label %bad
ask.shape:
  %e5 = call i32 %sizes(ptr %handle, ptr %answer)
  %has.sizes = load ptr, ptr %answer, align 8
  %e6 = call i32 %strides(ptr %handle, ptr %answer)
  %has.strides = load ptr, ptr %answer, align 8
  %any.dim = icmp sgt i64 %want.dim, 0
  br i1 %any.dim, label %dimension, label %memory
dimension:
  %d = phi i64 [ 0, %ask.shape ], [ %d.next, %dimension.good ]
  %size.at = getelementptr i64, ptr %has.sizes, i64 %d
  %size = load i64, ptr %size.at, align 8
  %want.size.at = getelementptr i64, ptr %shape, i64 %d
  %want.size = load i64, ptr %want.size.at, align 8
  %stride.at = getelementptr i64, ptr %has.strides, i64 %d
  %stride = load i64, ptr %stride.at, align 8
  %d.stride = add i64 %d, %want.dim
  %want.stride.at = getelementptr i64, ptr %shape, i64 %d.stride
  %want.stride = load i64, ptr %want.stride.at, align 8
  %same.size = icmp eq i64 %size, %want.size
  %same.stride = icmp eq i64 %stride, %want.stride
  %one = icmp eq i64 %size, 1
  %stride.good = or i1 %same.stride, %one
  %dimension.same = and i1 %same.size, %stride.good
  br i1 %dimension.same, label %dimension.good, label %bad
dimension.good:
  %d.next = add i64 %d, 1
  %d.more = icmp slt i64 %d.next, %want.dim
  br i1 %d.more, label %dimension, label %memory
memory:
  %e7 = call i32 %data_ptr(ptr %handle, ptr %answer)
  %has.address = load i64, ptr %answer, align 8
  %threw = icmp ne i32 %e7, 0
  br i1 %threw, label %bad, label %address
address:
  %same.address = icmp eq i64 %has.address, %expected
  br i1 %is.fixed, label %fixed.address, label %gradient.address
fixed.address:
  br i1 %same.address, label %found, label %bad
gradient.address:
  store i64 %has.address, ptr %place, align 8
  %found.at = getelementptr i64, ptr %record, i64 8
  store ptr %handle, ptr %found.at, align 8
  %until = add i64 %has.address, %bytes
  %there = icmp ne i64 %has.address, 0
  %nothing = icmp eq i64 %bytes, 0
  %usable = or i1 %there, %nothing
  br i1 %usable, label %search, label %bad
search:
  %low = phi i64 [ 0, %gradient.address ], [ %low.next, %halve ]
  %high = phi i64 [ %spans, %gradient.address ], [ %high.next, %halve ]
  %open = icmp slt i64 %low, %high
  br i1 %open, label %halve, label %searched
halve:
  %both = add i64 %low, %high
  %middle = lshr i64 %both, 1
  %start.at = getelementptr i64, ptr %starts, i64 %middle
  %start = load i64, ptr %start.at, align 8
  %before = icmp ult i64 %start, %until
  %after.middle = add i64 %middle, 1
  %low.next = select i1 %before, i64 %after.middle, i64 %low
  %high.next = select i1 %before, i64 %high, i64 %middle
  br label %search
searched:
  %none = icmp eq i64 %low, 0
  br i1 %none, label %found, label %last
last:
  %index = sub i64 %low, 1
  %end.at = getelementptr i64, ptr %ends, i64 %index
  %end = load i64, ptr %end.at, align 8
  %overlaps = icmp ugt i64 %end, %has.address
  %real = xor i1 %nothing, true
  %hit = and i1 %overlaps, %real
  br i1 %hit, label %bad, label %found
found:
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %n
  br i1 %more, label %next, label %good
good:
  ret i64 0
bad:
  %failed = add i64 %k, 1
  ret i64 %failed
}}
"""
