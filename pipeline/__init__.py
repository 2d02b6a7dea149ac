"""What is done with pictures: a folder for each stage of a picture's life, in this order.

A folder imports only from those above it, and from ``store``. The file named like a command holds that command's work.

runtime     what every step runs on: processes, progress, frameworks, tables and text on a terminal
steps       what a step is: its settings, and where they come from
ingest      read a catalogue, look at every picture once
embed       make vectors of pictures
curate      score pictures, take them out by rules and verdicts, divide them into splits
runs        what training leaves in the store: runs, the rows they learned from, their figures
train       train a head on vectors or a network on pixels, and tune it
evaluate    ask a run for probabilities, and compare runs
finetune    train the last layers of a backbone with its head
deploy      write a run as an artefact, and predict with either
look        show a store: pages to see and judge pictures, a report to mail
recipe      the steps that a coldframe.toml asks for, in order
upkeep      say what a store holds and whether it is whole, and mend it
demo        draw a sample catalogue, and run every step on it
cli         the commands
"""
