"""Training: weights for one architecture, from nothing or from inherited ones.

recipe.py     Recipe: everything that a training is decided by besides network, data and seed
schedule.py   the learning rate of a step
average.py    Average: the weights that are kept, an average over steps
score.py      Score: how good a network is on a split
processes.py  Processes: who trains together (torchrun)
history.py    History: an epoch a line, metrics.csv
stepper.py    Stepper: the loop of every training, a supernet's too; its optimiser and its checkpoint
fit.py        fit: one network, by its epochs
network.py    networks with inherited weights, and a head for the data's classes
board.py      TensorBoard, where asked for
summary.py    what a person reads
"""
