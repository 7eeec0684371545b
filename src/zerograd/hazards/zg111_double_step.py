from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG111",
    name="double-step",
    severity="warning",
    what="""
One optimizer steps twice with no backward between.
""",
    why="""
The second step uses the same gradients again: the learning rate is doubled in effect, momentum and step counters run
ahead.
""",
    example="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss_fn(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()
    optimizer.step()
""",
    instead="""
for inputs, targets in loader:
    optimizer.zero_grad()
    loss_fn(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()
""",
)
