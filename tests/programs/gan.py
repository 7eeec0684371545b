"""Two networks, two optimizers; the generator's backward leaks into the discriminator."""

import torch
from torch import nn

torch.manual_seed(0)

generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
discriminator = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(), nn.Linear(8, 1))
optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.01)
optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.01)
loss_fn = nn.BCEWithLogitsLoss()
for _ in range(6):
    real, fake = torch.randn(4, 3), generator(torch.randn(4, 2))
    optimizer_d.zero_grad()
    loss_real = loss_fn(discriminator(real), torch.ones(4, 1))
    loss_real.backward()
    loss_fake = loss_fn(discriminator(fake.detach()), torch.zeros(4, 1))
    loss_fake.backward()
    optimizer_d.step()
    optimizer_g.zero_grad()
    loss_g = loss_fn(discriminator(fake), torch.ones(4, 1))
    loss_g.backward()
    optimizer_g.step()
