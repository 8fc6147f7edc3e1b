"""Whatever is selected, each dependency has the same features: what one `cargo` command built, the next one uses.

Run by .ci/run. Cargo unites features over the packages that a command selects, so `-p fyteclubctl` may want another tokio
than `--workspace`. What is missing is declared in the workspace's Cargo.toml, under "Named for their features alone",
and by the package that the problem names.
"""

import json
import subprocess
import sys
from collections import defaultdict

# The demo's phone book is built without Redis: docs/decisions/0035.
EXCEPTIONS = {"fyteclub-phonebook"}

# Of a program's own parts, with and without its tests; then what runs while it is built, too.
EDGES = ("normal,no-proc-macro", "normal,dev,no-proc-macro", "normal,build", "normal,build,dev")


def cargo(*words):
    return subprocess.run(["cargo", *words, "--locked"], check=True, stdout=subprocess.PIPE, text=True).stdout


def features(edges, *selection):
    """For each crate, the sets of features with which this selection builds it."""
    sets = defaultdict(set)
    for line in cargo("tree", "-e", edges, "--prefix", "none", "-f", "{p}|{f}", *selection).splitlines():
        name, _, chosen = line.removesuffix(" (*)").partition("|")
        if name:
            sets[" ".join(name.split()[:2])].add(chosen)
    return sets


def main():
    packages = json.loads(cargo("metadata", "--format-version", "1", "--no-deps"))["packages"]
    problems = []
    for edges in EDGES:
        # The largest selection is the measure, for the others and for itself without tests.
        measure = features(edges if "dev" in edges else edges.replace("normal", "normal,dev"), "--workspace")
        selections = {"--workspace": features(edges, "--workspace")}
        selections |= {f"-p {p['name']}": features(edges, "-p", p["name"]) for p in packages}
        for selection, found in selections.items():
            for crate, sets in found.items():
                for chosen in sets - measure[crate] if crate.split()[0] not in EXCEPTIONS else ():
                    problems.append(f"{selection} ({edges}): {crate} with {chosen or 'nothing'}, elsewhere with {' or '.join(measure[crate])}")
    for problem in sorted(set(problems)):
        print(problem)
    print(f"features: {len(problems) or 'nothing'} differ{'s' if not problems else ''}")
    return 1 if problems else 0


sys.exit(main())
