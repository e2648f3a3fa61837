"""Training: weights for one architecture, from nothing or from inherited ones.

choices.py    what can be said of a training, and what holds where nothing is said
recipe.py     Recipe: everything that a training is decided by besides network, data and seed
schedule.py   the learning rate of a step
average.py    Average: the weights that are kept, an average over steps
score.py      Score: how good a network is on a split
processes.py  Processes: who trains together (torchrun)
history.py    History: an epoch a line, metrics.csv
stepper.py    Stepper: the loop of every training, a supernet's too; its optimiser and its checkpoint
still.py      what stays as it is while the rest is trained
teacher.py    Teacher: a network that is learnt from, on pictures of its own size
memory.py     how much memory a training took
pace.py       what a step of it costs here
fit.py        fit: one network, by its epochs
network.py    networks with inherited weights, and a head for the data's classes
board.py      TensorBoard, where asked for
summary.py    what a person reads
"""
