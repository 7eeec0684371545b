from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG103",
    name="zero-between-backward-and-step",
    severity="error",
    what="""
The gradients are cleared after backward has written them and before any step has used them.
""",
    why="""
The step finds nothing, or zeros. With plain SGD the weights stay where they are; with momentum, Adam's averages or
weight decay they go on moving, by the past alone. The loss does not fall, and no error tells why.
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
