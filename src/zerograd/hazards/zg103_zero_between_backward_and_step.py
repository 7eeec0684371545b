from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG103",
    name="zero-between-backward-and-step",
    severity="error",
    what="""
The gradients are cleared after backward and before the step that should use them.
""",
    why="""
The step finds no gradients. Nothing is learnt, and nothing tells of it: the optimizer skips parameters without a
gradient, so the loss stays where it began.
""",
    example="""
for inputs, targets in loader:
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
""",
    instead="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    optimizer.step()
""",
)
