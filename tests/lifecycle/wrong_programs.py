"""Wrong programs, and what is to be said of each: the code, how often, of which parameters, in which words."""

from __future__ import annotations

from typing import Any

WINDOW = """
for turn in range(40):
    optimizer.zero_grad()
    (model(inputs()) / 4).square().mean().backward()
    print("norm", sum(p.grad.norm() for p in model.parameters()).item() > 1e9)
    if (turn + 1) % 4 == 0:
        optimizer.step()
    for p in model.parameters():
        p.data.clamp_(-9, 9)
        with torch.no_grad():
            p.clamp_(-9, 9)
"""

LOGGED = {
    "and named for a norm to be logged": """
def norm():
    total = 0.0
    for p in model.parameters():
        g = p.grad
        if g is not None:
            total += g.detach().norm(2).item() ** 2
    return total ** 0.5""",
    "and listed for a norm to be logged": """
def norm():
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return torch.norm(torch.stack([torch.norm(g.detach()) for g in grads]))""",
}
"""Ways to make a figure of the gradients: this is no use of them."""

WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "a forgotten clear with an optimizer for each parameter": (
        """
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
optimizers = {p: SGD([p], lr=1e-3) for p in model.parameters()}
for p in model.parameters():
    p.register_post_accumulate_grad_hook(lambda p: optimizers[p].step())
for turn in range(10):
    model(torch.randn(8, 4)).square().mean().backward()
""",
        {"code": "ZG101", "count": 36, "parameters": {"0.weight", "0.bias", "2.weight", "2.bias"}},
    ),
    "a clear of another optimizer, which takes the gradients of what both share": (
        """
body, a, b = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 1)
ours = SGD([*body.parameters(), *a.parameters()], lr=1e-3)
theirs = SGD([*body.parameters(), *b.parameters()], lr=1e-3)
for turn in range(12):
    ours.zero_grad()
    a(body(torch.randn(8, 4))).square().mean().backward()
    theirs.zero_grad()
    (b(body(torch.randn(8, 4))) - 1).square().mean().backward()
    ours.step()
    theirs.step()
""",
        {"code": "ZG105", "count": 12, "parameters": {"weight", "bias"}, "says": "before step 1"},
    ),
    "a forgotten clear with optimizers made anew": (
        """
model = nn.Linear(1, 1)
for task in range(4):
    learner = copy.deepcopy(model)
    optimizer = SGD(learner.parameters(), lr=0.02)
    for turn in range(6):
        learner(torch.rand(8, 1)).square().mean().backward()
        optimizer.step()
""",
        {"code": "ZG101", "count": 20, "parameters": {"weight", "bias"}},
    ),
    "a step that is called for another network": (
        """
one, other = nn.Linear(4, 2), nn.Linear(4, 2)
ours, theirs = Adam(one.parameters()), Adam(other.parameters())
def update(net, optimizer):
    optimizer.zero_grad()
    net(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
for turn in range(6):
    update(one, ours)
    update(other, ours)
""",
        {"code": "ZG110", "count": 6, "parameters": {"weight", "bias"}},
    ),
    "a window that is cleared, with weights that are clamped and norms that are printed": (
        "model = nn.Linear(4, 1)\noptimizer = SGD(model.parameters(), lr=1e-2)\ninputs = lambda: torch.randn(8, 4)"
        + WINDOW,
        {"code": "ZG105", "count": 10, "parameters": {"weight", "bias"}},
    ),
    **{
        f"a window that is cleared, {how}": (
            "model, writer = nn.Linear(4, 1), []\noptimizer = SGD(model.parameters(), lr=1e-2)\n"
            f"inputs = lambda: torch.randn(8, 4)\n{reader}\n"
            + WINDOW.replace('print("norm", ', "writer.append((norm(), ").replace("> 1e9)", "> 1e9))"),
            {"code": "ZG105", "count": 10, "parameters": {"weight", "bias"}},
        )
        for how, reader in LOGGED.items()
    },
    "a window that is cleared, with an embedding of bounded norm": (
        "model = nn.Sequential(nn.Embedding(9, 6, max_norm=1.0), nn.Linear(6, 2))\n"
        "optimizer = Adam(model.parameters(), lr=1e-2)\ninputs = lambda: torch.randint(0, 9, (8,))" + WINDOW,
        {"code": "ZG105", "count": 10},
    ),
    "windows of changing lengths that are cleared": (
        """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
for length in (3, 2, 4, 2, 5, 3, 3, 4, 2, 5, 4, 3):
    for turn in range(length):
        optimizer.zero_grad()
        (model(torch.randn(8, 4)) / length).square().mean().backward()
    optimizer.step()
""",
        {"code": "ZG105", "count": 12},
    ),
    "a branch now and then that is cleared before its step": (
        """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
for turn in range(30):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
    if turn % 4 == 0:
        sum(p.square().sum() for p in model.parameters()).backward()
        optimizer.zero_grad()
        optimizer.step()
""",
        {"code": "ZG103", "count": 8},
    ),
    "a loss's own parameters that are not cleared": (
        """
class Centers(nn.Module):
    def __init__(self):
        super().__init__()
        self.centers = nn.Parameter(torch.randn(2))
model, loss_fn = nn.Linear(4, 2), Centers()
optimizer = SGD([*model.parameters(), *loss_fn.parameters()], lr=1e-3)
for turn in range(6):
    model.zero_grad()
    (model(torch.randn(8, 4)) - loss_fn.centers).square().mean().backward()
    optimizer.step()
""",
        {"code": "ZG101", "count": 5, "parameters": {"centers"}},
    ),
    "a critic that is never cleared, of what the generator writes to it neither": (
        """
generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
theirs, ours = Adam(generator.parameters()), Adam(critic.parameters())
for turn in range(6):
    for _ in range(3):
        theirs.zero_grad()
        (critic(generator(torch.randn(8, 2)).detach()) - critic(torch.randn(8, 2))).square().mean().backward()
        ours.step()
    theirs.zero_grad()
    critic(generator(torch.randn(8, 2))).mean().backward()
    theirs.step()
""",
        {"code": "ZG101", "count": 17, "parameters": {"weight", "bias"}},
    ),
    "a clear that is left out after many steps": (
        """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-3)
for turn in range(180):
    if turn < 150:
        optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
""",
        {"code": "ZG101", "parameters": {"weight", "bias"}},
    ),
    "a group that is added after many steps, and never cleared": (
        """
model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
optimizer = SGD(model[1].parameters(), lr=1e-3)
for turn in range(170):
    if turn == 150:
        optimizer.add_param_group({"params": model[0].parameters()})
        model[0].zero_grad()
    model[1].zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
""",
        {"code": "ZG101", "parameters": {"0.weight", "0.bias"}},
    ),
    "a second optimizer that comes after many steps, and never clears": (
        """
model, other = nn.Linear(4, 4), nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-3)
for turn in range(180):
    if turn == 150:
        second = Adam(other.parameters())
    optimizer.zero_grad()
    other(model(torch.randn(8, 4))).square().mean().backward()
    optimizer.step()
    if turn >= 150:
        second.step()
""",
        {"code": "ZG101", "count": 29, "parameters": {"weight", "bias"}},
    ),
    "a step that is never called, for longer than anybody remembers": (
        """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
for turn in range(100):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
""",
        {"code": "ZG105", "count": 99, "steps": [], "says": "step() was never called"},
    ),
    "a step that is called before training only": (
        """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
optimizer.step()
for turn in range(10):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
""",
        {"code": "ZG105", "count": 9, "steps": [1], "says": "the last step was step 1"},
    ),
    "a loss of derivatives with respect to inputs, whose gradients nobody reads, and no step": (
        """
model = nn.Linear(2, 1)
optimizer = Adam(model.parameters())
for turn in range(6):
    x = torch.randn(8, 2, requires_grad=True)
    optimizer.zero_grad()
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    (slope - 1).square().mean().backward()
""",
        {"code": "ZG105", "count": 5, "says": "step() was never called"},
    ),
    "a step that stands after the loop instead of in it": (
        """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
def backward(inputs):
    model(inputs).square().mean().backward()
for turn in range(6):
    optimizer.zero_grad()
    backward(torch.randn(8, 4))
optimizer.step()
""",
        {"code": "ZG105", "count": 1, "parameters": {"weight", "bias"}},
    ),
    "heads by turns, of which only the one that is trained is cleared": (
        """
heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(3))
optimizer = SGD(heads.parameters(), lr=1e-2)
for turn in range(9):
    heads[turn % 3].zero_grad()
    heads[turn % 3](torch.randn(8, 4)).square().mean().backward()
    nn.utils.clip_grad_norm_(heads.parameters(), 0.1)
    optimizer.step()
""",
        {"code": "ZG101", "count": 5, "says": "backward has reached others since"},
    ),
    "a model that was frozen, with new parts that no optimizer has": (
        """
class Adapted(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base, self.more = base, nn.Linear(4, 1)
    def forward(self, x):
        return self.base(x) + self.more(x)
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
model = Adapted(model.requires_grad_(False))
for turn in range(6):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
""",
        {"code": "ZG110", "parameters": {"base.weight", "base.bias"}, "says": "no optimizer has (2 parameters: more."},
    ),
    "a generator whose step comes before its backward, after the one of the critic": (
        """
generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
theirs, ours = Adam(generator.parameters()), SGD(critic.parameters(), lr=1e-2)
for turn in range(6):
    ours.zero_grad()
    (critic(generator(torch.randn(8, 2)).detach()) - critic(torch.randn(8, 2))).square().mean().backward()
    ours.step()
    theirs.step()
    theirs.zero_grad()
    critic(generator(torch.randn(8, 2))).mean().backward()
""",
        {"code": "ZG110", "says": "every step uses the gradients of the cycle before"},
    ),
    "a clear to zeros that comes too late, before clipping": (
        """
model = nn.Linear(4, 1)
optimizer = SGD(model.parameters(), lr=1e-2)
for turn in range(6):
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.zero_grad(set_to_none=False)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
""",
        {"code": "ZG103", "count": 6},
    ),
    "a second step with gradients that are assigned": (
        """
w = nn.Parameter(torch.ones(3))
optimizer = SGD([w], lr=1e-2)
for turn in range(6):
    (w.grad,) = torch.autograd.grad((w * torch.randn(3)).square().sum(), w)
    optimizer.step()
    optimizer.step()
""",
        {"code": "ZG111", "count": 6, "says": "no others were assigned between them"},
    ),
    "a closure of LBFGS that does not clear": (
        """
model, x = nn.Linear(4, 1), torch.randn(9, 4)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5)
def closure():
    loss = (model(x) - 1).square().mean()
    loss.backward()
    return loss
for turn in range(3):
    optimizer.zero_grad()
    optimizer.step(closure)
""",
        {"code": "ZG101", "steps": [1], "says": "evaluation 2 of the closure in step 1 of LBFGS"},
    ),
    "an optimizer that was built before the model was copied": (
        """
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = SGD(model.parameters(), lr=1e-2)
model = copy.deepcopy(model)
for turn in range(6):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
""",
        {
            "code": "ZG110", "count": 6, "parameters": {"0.weight", "0.bias", "2.weight", "2.bias"},
            "says": "has reached other parameters, which no optimizer has (4 parameters: 0.weight, 0.bias",
        },
    ),
    "an actor that is detached before its critic, whose gradients are cleared rightly": (
        """
actor, critic = nn.Linear(3, 1), nn.Linear(1, 1)
ours, theirs = Adam(actor.parameters()), SGD(critic.parameters(), lr=1e-2)
for turn in range(20):
    theirs.zero_grad()
    (critic(torch.randn(8, 1)) - 1).square().mean().backward()
    theirs.step()
    ours.zero_grad()
    critic(actor(torch.randn(8, 3)).detach()).mean().backward()
    ours.step()
""",
        {"code": "ZG110", "count": 20, "says": "has reached other parameters of SGD (2 parameters: weight, bias)"},
    ),
    "an optimizer that is taken for the other one": (
        """
one, other = nn.Linear(4, 2), nn.Linear(4, 2)
ours, theirs = SGD(one.parameters(), lr=1e-2), Adam(other.parameters())
for turn in range(6):
    theirs.zero_grad()
    one.zero_grad()
    one(torch.randn(8, 4)).square().mean().backward()
    theirs.step()
""",
        {"code": "ZG110", "count": 6, "says": "has reached other parameters of SGD (2 parameters: weight, bias)"},
    ),
}  # fmt: skip
