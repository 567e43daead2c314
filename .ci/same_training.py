"""Fails unless two runs of examples/train, with and without tickets, trained the same networks and the first
kept its budget: what README.md says of them."""

import json
import sys


def read(path):
    with open(path) as file:
        return json.load(file)


ticketed, free = map(read, sys.argv[1:])


def right(report):
    return {row["network"]: row["correct"] for row in report["networks"]}


failures = [
    what
    for what, holds in [
        ("the first run has tickets, the second has none", ticketed["tickets"] and not free["tickets"]),
        ("both get the same wines right", right(ticketed) == right(free)),
        ("MLX's peak is within the budget", ticketed["mlx_peak"] <= ticketed["budget"]),
        ("the tickets are within the budget", ticketed["most_held"] <= ticketed["budget"]),
    ]
    if not holds
]
for failure in failures:
    print(f"not so: {failure}")
print(f"with tickets {right(ticketed)}, peak {ticketed['mlx_peak']} of {ticketed['budget']}")
print(f"without      {right(free)}, peak {free['mlx_peak']}")
sys.exit(bool(failures))
