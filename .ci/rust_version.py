"""Fails if a dependency of the published crate needs a newer Rust than Cargo.toml states.

The standard library's part is checked by clippy (incompatible_msrv, on by default).
"""

import json
import subprocess
import sys

metadata = json.loads(
    subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--locked"])
)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
root = metadata["resolve"]["root"]


def version(text):
    return tuple(int(part) for part in text.split("."))


stated = packages[root]["rust_version"]
reached, waiting = set(), [root]
while waiting:
    package = waiting.pop()
    if package in reached:
        continue
    reached.add(package)
    for dependency in nodes[package]["deps"]:
        if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
            waiting.append(dependency["pkg"])

too_new = [
    f"{packages[p]['name']} {packages[p]['version']} needs Rust {packages[p]['rust_version']}"
    for p in sorted(reached)
    if packages[p]["rust_version"] and version(packages[p]["rust_version"]) > version(stated)
]
for line in too_new:
    print(line)
print(f"stated: Rust {stated}; checked against {len(reached) - 1} dependencies")
sys.exit(bool(too_new))
