from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG108",
    name="not-called",
    severity="error",
    what="""
A method is named as a statement and not called: zero_grad, step, backward, train or eval without parentheses.
""",
    why="""
Python evaluates the name and drops it. The gradients are not cleared, the step is not taken, the mode stays as it was.
""",
    example="""
for inputs, targets in loader:
    optimizer.zero_grad
    loss = loss_fn(model(inputs), targets)
    loss.backward()
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
