from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG107",
    name="loss-not-divided-in-window",
    severity="info",
    what="""
The gradients of several batches are summed for one step, and the loss is divided by their number nowhere.
""",
    why="""
The gradient is as many times larger as the window is long. SGD then takes larger steps than its learning rate says, and
clipping bites where it should not. A sum on purpose, such as of losses over tokens that are divided later, is fine.
""",
    example="""
for i, (inputs, targets) in enumerate(loader):
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    if (i + 1) % 4 == 0 or i + 1 == len(loader):
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
