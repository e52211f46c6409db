"""Change the code a little, many times, and see whether the tests notice.

Inputs: the working tree; every module of `fuse/metrics`, `fuse/ops`, `fuse/fusion` and
`fuse/analysis` (found by looking, so modules may move), and the tests of the folders of the same
names and the doctests. All of it is copied first, and nothing is changed on disk.

Output: a table of mutants per package, killed, out of time and survived; then each survivor with
its place and its change, and why it is harmless where scripts/harmless_mutants.toml says so. One
JSON line per mutant in --out, which a later call goes on from; mutants that survived and are not
listed are tried again when tests have changed. Exit code 1 when fewer than 85 % are killed, a
survivor is not listed as harmless, or the list has a mutant that the code has no more: nothing is
run then.

Which mutants: one statement in ten, and of each one of the changes that `mutation.operators`
makes. Both are chosen by hashes of --seed, the file, the function's name and the statement itself,
so an edit changes the mutants of the statements that it touches, and no others. Which tests: a
first run notes what each one costs and enters (kept in --out until code or tests change); a mutant
runs those that enter its function, up to --budget seconds, until one fails: those of its module
come first, then its package's, and the quick ones. Packages that have compiled kernels run them as
plain Python, so a mutant costs no compilation; the others use kernels compiled once, into --out.

Expected: 250 mutants in 30 minutes on one core that others use too, five of them for the first
run of the tests; at least 85 % killed, no survivor unexplained.

Why not a library: mutmut 3 leaves out decorated functions and classes, which are all our
kernels (@jit) and dataclasses (its issue 558); cosmic-ray runs one command for all mutants, from
a fresh interpreter (four seconds of imports) and on files changed in place. Neither draws a
seeded sample.

    python scripts/mutate.py --workers 2
    python scripts/mutate.py --packages ops --one-in 25 --seed 3
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from mutation.operators import Mutant
from mutation.plan import Plan, choose_mutants, hash_files, make_plans
from mutation.report import Result, find_lost, print_report, read_harmless, read_results
from mutation.sandbox import HARD_LIMIT, Sandbox

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("metrics", "ops", "fusion", "analysis")
HARMLESS = Path(__file__).with_name("harmless_mutants.toml")
TARGET = 0.85


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it all; returns the exit code."""
    options = parse_arguments(arguments)
    harmless = read_harmless(options.harmless)
    if lost := find_lost(options.project, harmless.values()):
        print(f"{options.harmless} lists what the code has no more; take it out, or mend it:")
        print(*(f"{one.key} {one.file} {one.function}: {one.before}" for one in lost), sep="\n")
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    box = Sandbox.make(options.project.resolve(), options.out.resolve())
    plans = make_plans(box, options.packages, options.out)
    drawn = choose_mutants(box.root, options.packages, options.one_in, options.seed)
    mutants = [mutant for mutant in drawn if options.only in mutant.file]
    results = run_mutants(box, plans, mutants, harmless, options)
    unexplained = print_report(results, harmless)
    noticed = sum(result.verdict != "survived" for result in results)
    return int(noticed < TARGET * len(results) or unexplained > 0)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packages", nargs="+", default=PACKAGES, help="folders of fuse/")
    parser.add_argument("--one-in", type=int, default=10, help="of that many statements one (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--budget", type=float, default=40.0, help="seconds of tests (40)")
    parser.add_argument("--limit", type=int, help="stop after that many new mutants")
    parser.add_argument("--only", default="", help="of the drawn ones, those with this in the path")
    parser.add_argument("--out", type=Path, default=PROJECT / "build/mutants", help="work folder")
    parser.add_argument("--project", type=Path, default=PROJECT, help="whose code is changed")
    parser.add_argument("--harmless", type=Path, default=HARMLESS, help="the list")
    return parser.parse_args(arguments)


def run_mutants(
    box: Sandbox,
    plans: Mapping[str, Plan],
    mutants: Sequence[Mutant],
    harmless: Collection[str],
    options: argparse.Namespace,
) -> list[Result]:
    """Results of all mutants, from earlier calls where they hold; new ones are written down."""
    path = options.out / "results.jsonl"
    known = read_results(path)
    suite = hash_files(box.root, ("tests",))
    code = {mutant.file: hash_files(box.root, (mutant.file,)) for mutant in mutants}
    results, waiting = [], []
    for mutant in mutants:
        old = known.get(mutant.key)
        if old and old.holds(code[mutant.file], old.suite if mutant.key in harmless else suite):
            results.append(old)
        else:
            waiting.append(mutant)
    waiting = waiting[: options.limit]
    with path.open("a") as file:
        tried = try_mutants(box, plans, waiting, options)
        for number, (mutant, verdict, test, tests, seconds) in enumerate(tried, start=1):
            result = Result(mutant, verdict, test, tests, seconds, code[mutant.file], suite)
            results.append(result)
            file.write(result.to_json() + "\n")
            file.flush()
            place = f"{mutant.file}:{mutant.line}"
            print(f"{number}/{len(waiting)} {place} {verdict} {seconds:.1f} s {test}", flush=True)
    return results


def try_mutants(
    box: Sandbox, plans: Mapping[str, Plan], mutants: Sequence[Mutant], options: argparse.Namespace
) -> Iterator[tuple[Mutant, str, str, int, float]]:
    """Mutant, verdict, test that failed, number of tests and seconds, as they come."""
    waiting = list(reversed(mutants))
    running: dict[int, tuple[BaseProcess, Mutant, int, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < options.workers:
                mutant = waiting.pop()
                plan = plans[mutant.file.split("/")[1]]
                limits = plan.choose_tests(mutant, options.budget)
                if not limits:
                    yield mutant, "survived", "", 0, 0.0
                    continue
                child = box.start(mutant, limits, plain=plan.plain)
                running[child.sentinel] = (child, mutant, len(limits), time.monotonic())
            ended = wait(running, timeout=1)
            for sentinel, (child, mutant, tests, start) in list(running.items()):
                seconds = time.monotonic() - start
                if sentinel in ended:
                    child.join()
                    del running[sentinel]
                    yield mutant, *box.verdict(mutant, child), tests, seconds
                elif seconds > HARD_LIMIT:
                    os.killpg(child.pid, signal.SIGKILL)
    finally:
        for child, *_ in running.values():
            os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
