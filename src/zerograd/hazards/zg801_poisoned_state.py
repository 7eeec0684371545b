from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG801",
    name="poisoned-state",
    severity="error",
    what="""
A gradient that was nan, infinite, or so large that its square was, has gone into a state in 8 bits. The number has no
code, so the group of elements that shares a scale with it is nan. The guard sees it; the linter can't.
""",
    why="""
From the next step on the weights of the whole group are nan, and with them mostly the loss. Skipping later steps mends
nothing, because the state stays as it is.
""",
    example="""
optimizer = optim.AdamW(model.parameters(), state_format="int8")
for inputs, targets in loader:
    optimizer.zero_grad()
    loss_fn(model(inputs), targets).backward()
    optimizer.step()
""",
    instead="""
optimizer = optim.AdamW(model.parameters(), state_format="int8", clip=1.0, nonfinite="skip")
for inputs, targets in loader:
    optimizer.zero_grad()
    loss_fn(model(inputs), targets).backward()
    optimizer.step()
""",
)
