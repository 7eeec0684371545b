from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG104",
    name="step-before-backward",
    severity="error",
    what="""
The step is taken before backward, and what backward gives is cleared before the next step.
""",
    why="""
Each step finds clean gradients, so the parameters never move. A loop that steps with the gradients of the iteration
before is something else: it clears after the step, and is not reported.
""",
    example="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    optimizer.step()
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
