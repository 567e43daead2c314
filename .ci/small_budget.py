"""Fails unless a run of examples/transformer saved what its checkpoints are to save, with equal gradients, and kept its
budgets and tickets. How fast what was fitted is it only prints: other work on the machine disturbs that."""

import json
import sys

with open(sys.argv[1]) as file:
    report = json.load(file)

recomputed = report["checkpointing"]
peaks = [
    recomputed["ordered_peak"] / recomputed["plain_peak"],
    recomputed["ordered_peak_reverse"] / recomputed["plain_peak_reverse"],
]
failures = [
    what
    for what, holds in [
        ("ordered checkpoints save 60 % in either order", max(peaks) <= 0.4),
        ("gradients are equal", recomputed["max_gradient_difference"] == 0),
        ("three budgets were fitted into", len(report["fit"]) == 3),
        ("at most ten plans were run for each", all(row["probes"] <= 10 for row in report["fit"])),
        (
            "neither choice nor probes pass a budget",
            all(max(row["peak"], row["highest_probe"]) <= row["budget"] for row in report["fit"]),
        ),
        ("work keeps to its tickets", all(row["peak"] <= row["ticket"] for row in report["tickets"])),
        ("what was learned shows", report["last_loss"] < 0.7 * report["first_loss"]),
    ]
    if not holds
]
for row in report["fit"]:
    print(f"{row['budget']}: {row['rows_per_s'] / row['best_rows_per_s']:.2f} of the best in {row['probes']} probes")
for failure in failures:
    print(f"does not hold: {failure}", file=sys.stderr)
sys.exit(bool(failures))
