from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG105",
    name="zero-inside-accumulation-window",
    severity="error",
    what="""
Gradients of several micro-batches are to be added up before a step, but each micro-batch begins with a clear: backward
pass after backward pass is thrown away, and the step sees the last one only.
""",
    why="""
The program pays for all micro-batches and learns from one of them, with a gradient that is also divided by their
number. It trains with the noise of a small batch and a learning rate that is too small, while its log says otherwise.
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
for batches in zerograd.accumulate(loader, optimizer, every=4):
    optimizer.zero_grad()
    for inputs, targets in batches:
        batches.backward(loss_fn(model(inputs), targets), n=len(inputs))
    optimizer.step()
""",
)
