"""A policy gradient: env.step is no step of an optimizer."""

import torch
from torch import nn

torch.manual_seed(0)


class Env:
    def reset(self):
        self.left = 4
        return torch.zeros(3)

    def step(self, action):
        self.left -= 1
        return torch.full((3,), float(action) + self.left), float(action), self.left == 0


policy, env = nn.Linear(3, 2), Env()
optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
for _ in range(5):
    state, done, logs, rewards = env.reset(), False, [], []
    while not done:
        choice = torch.distributions.Categorical(logits=policy(state))
        action = choice.sample()
        logs.append(choice.log_prob(action))
        state, reward, done = env.step(action)
        rewards.append(reward)
    loss = -(torch.stack(logs) * (torch.tensor(rewards) + 0.5)).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
