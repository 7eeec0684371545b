"""An embedding and an output layer with one weight."""

import torch
from torch import nn

torch.manual_seed(0)

embedding, output = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
output.weight = embedding.weight
optimizer = torch.optim.AdamW([*embedding.parameters()], lr=0.05)
text = torch.randint(7, (8, 5))
for line in text:
    optimizer.zero_grad()
    logits = output(embedding(line[:-1]))
    loss = nn.functional.cross_entropy(logits, line[1:])
    loss.backward()
    optimizer.step()
