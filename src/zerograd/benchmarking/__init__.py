"""Measurements of the update half of a training step against torch.optim's: `zerograd bench` and `make bench`.

turns.py             contestants take turns in one process, so that the noise of the machine meets all of them alike
plans.py             which parts there are, and how much time a run has
model_shapes.py      the models, as the shapes of their parameters
entrants.py          one optimizer with parameters and gradients of its own
copies.py            several copies of a network, since where one lies in memory decides over a percent
step_part.py         `step()` alone, and the memory bandwidth that it reaches
update_half_part.py  clipping, step and zero_grad, as people write them
training_part.py     whole training steps, with forward and backward
startup_part.py      the first constructor and the first step of a fresh process
checks_part.py       what each safety check of a step costs
guard_part.py        training with a guard and without one
window_part.py       windows of micro-batches by `accumulate` and by hand
lint_part.py         how long `zerograd lint` reads programs, and how long it takes to start
matrix_part.py       `step()` of Muon, over few matrices and many
rows.py              what was measured, and torch's time over zerograd's
facts.py             the machine that it was measured on
tables.py, bars.py   the rows as a table and as a picture
suite.py             a whole run: measure, show, write

Only ratios of one run count. No figure is printed that was not measured in that run.
"""
