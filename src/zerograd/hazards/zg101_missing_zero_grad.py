from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG101",
    name="missing-zero-grad",
    severity="warning",
    what="""
A training loop runs backward and step again and again, and nothing on the way clears the gradients.
""",
    why="""
backward adds to the gradients that are there. Without zero_grad every step uses the sum of all gradients since the
start: SGD takes larger and larger steps, Adam follows an average of the whole past. The loss may still fall for a
while, so nothing tells of it.
""",
    example="""
for inputs, targets in loader:
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
