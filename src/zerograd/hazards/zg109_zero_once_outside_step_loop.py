from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG109",
    name="zero-once-outside-step-loop",
    severity="warning",
    what="""
Gradients are cleared once outside of a loop, and inside of it backward and step repeat.
""",
    why="""
From the second iteration on every step uses the sum of all gradients since the clear. It looks like a cleared loop, and
trains like one that never clears.
""",
    example="""
for epoch in range(10):
    optimizer.zero_grad()
    for inputs, targets in loader:
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        optimizer.step()
""",
    instead="""
for epoch in range(10):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        optimizer.step()
""",
)
