from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG110",
    name="step-without-backward",
    severity="error",
    what="""
Gradients are cleared, a loss is computed and a step is taken, but nothing runs backward.
""",
    why="""
There are no gradients, so the step changes nothing, or only decays the weights. The loss is computed and shown, and
does not fall.
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
