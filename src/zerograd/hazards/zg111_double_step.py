from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG111",
    name="double-step",
    severity="warning",
    what="""
Two steps of one optimizer follow each other with no backward between them.
""",
    why="""
The second step uses the same gradients once more, at weights that they were not computed for: it is a larger learning
rate that nobody has chosen, and averages such as Adam's count every gradient twice.
""",
    example="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    optimizer.step()
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
