from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG113",
    name="missing-step",
    severity="warning",
    what="""
A loop clears the gradients of an optimizer and runs backward, and the optimizer never steps.
""",
    why="""
The gradients are made and thrown away: the parameters keep their first values, and the loss does not fall.
""",
    example="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
""",
    instead="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    optimizer.step()
""",
)
