from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG105",
    name="zero-inside-accumulation-window",
    severity="error",
    what="""
Gradients are cleared in every iteration, but a step is taken only in some of them.
""",
    why="""
A window of several batches is meant to be summed before the step. The clear throws away all of them but the last, so
the program computes k batches and learns from one.
""",
    example="""
for i, (inputs, targets) in enumerate(loader):
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets) / 4
    loss.backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
""",
    instead="""
for i, (inputs, targets) in enumerate(loader):
    loss = loss_fn(model(inputs), targets) / 4
    loss.backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
)
