from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG110",
    name="step-without-backward",
    severity="error",
    what="""
A step is taken in every cycle, and no backward ever runs for its parameters.
""",
    why="""
Without gradients a step changes nothing, whatever the loss is. The program prints losses that do not fall.
""",
    example="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
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
