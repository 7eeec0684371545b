from zerograd.hazards.hazard import Hazard

HAZARD = Hazard(
    code="ZG102",
    name="missing-zero-second-optimizer",
    severity="warning",
    what="""
One loop has two or more optimizers. One of them steps and is never cleared, neither by its own zero_grad nor by its
module's, while another one is.
""",
    why="""
backward adds to the gradients that are there, so the forgotten optimizer steps with the sum of all gradients since the
start. The other half of the program trains as it should, which makes the cause hard to find: in a GAN one network seems
to win.
""",
    example="""
for real in loader:
    optimizer_d.zero_grad()
    d_loss(real).backward()
    optimizer_d.step()
    g_loss().backward()
    optimizer_g.step()
""",
    instead="""
for real in loader:
    optimizer_d.zero_grad()
    d_loss(real).backward()
    optimizer_d.step()
    optimizer_g.zero_grad()
    g_loss().backward()
    optimizer_g.step()
""",
)
