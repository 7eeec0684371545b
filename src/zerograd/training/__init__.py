"""Training runs, to read and to copy: `loop.py` is the loop; the rest prepares it, watches it and keeps what it gave.

task.py, tasks/      what is trained: the model, the samples, the loss and the settings that suit them
settings.py          what the user asked for, checked
optimizers.py        an optimizer's class by its name, its hyper-parameters, a rehearsal
samples.py           inputs with their targets, in batches
loop.py, tally.py    zero_grad, forward, loss, backward, step
record.py            what an epoch gave: one line of record.jsonl
folder.py, plots.py  the run's folder and its picture
progress.py          the run on the screen
session.py           a whole run, from the settings to the last file
lesson*.py           the same descent with and without zero_grad
"""
