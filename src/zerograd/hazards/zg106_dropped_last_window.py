from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG106",
    name="dropped-last-window",
    severity="info",
    what="""
A step is taken every few batches and none after the loop, so the batches of a last, shorter window give nothing.
""",
    why="""
When the number of batches is no multiple of the window, the gradients of the last ones are cleared unused, or leak into
the next epoch's first window.
""",
    example="""
for i, (inputs, targets) in enumerate(loader):
    loss = loss_fn(model(inputs), targets) / 4
    loss.backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
""",
    instead="""
for i, (inputs, targets) in enumerate(loader):
    loss = loss_fn(model(inputs), targets) / 4
    loss.backward()
    if (i + 1) % 4 == 0 or i + 1 == len(loader):
        optimizer.step()
        optimizer.zero_grad()
""",
)
