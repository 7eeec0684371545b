from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG106",
    name="dropped-last-window",
    severity="info",
    what="""
A step is taken every so many micro-batches, and what is left when the data ends is thrown away: there is no step for
the last, shorter window.
""",
    why="""
The last samples of every epoch are computed and never learnt from. If the clear comes late, they end up in the first
step of the next epoch instead.
""",
    example="""
for i, (inputs, targets) in enumerate(loader):
    loss_fn(model(inputs), targets).backward()
    if (i + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
optimizer.zero_grad()
""",
    instead="""
for batches in zerograd.accumulate(loader, optimizer, every=4):
    optimizer.zero_grad()
    for inputs, targets in batches:
        batches.backward(loss_fn(model(inputs), targets), n=len(inputs))
    optimizer.step()
""",
)
