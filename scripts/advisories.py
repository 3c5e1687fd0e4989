#!/usr/bin/env python3
"""Compares Cargo.lock with a checkout of the RustSec advisory database. Needs no network.

usage: scripts/advisories.py [--lock Cargo.lock] [--db DIR]

DIR defaults to $ADVISORY_DB, then ../shared/advisory-db. A vulnerability is an error; what the database
calls informational (unmaintained, unsound, notice) is printed as a warning.
Exit code 0: no vulnerability; 1: at least one; 2: the lock file or the database cannot be read.
"""

import argparse
import os
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(\S+)")


def parse(text):
    """The numbers that are given (one to three), and the pre-release identifiers."""
    found = VERSION.fullmatch(text)
    if not found:
        raise ValueError(f"not a version: {text!r}")
    numbers = [int(number) for number in found.groups()[:3] if number is not None]
    return numbers, found[4].split(".") if found[4] else []


def order(numbers, pre=()):
    """A key that sorts as semantic versions do: a pre-release comes before its release."""
    identifiers = tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in pre)
    return tuple(numbers + [0] * (3 - len(numbers))), not pre, identifiers


def caret_end(numbers):
    """The first version that `^` excludes: the leftmost number that is not zero rises."""
    at = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    return order(numbers[:at] + [numbers[at] + 1])


def tilde_end(numbers):
    kept = numbers[:2]
    return order(kept[:-1] + [kept[-1] + 1])


def satisfies(version, requirement):
    """Whether a version meets every comparator of a requirement such as `>= 1.2.3, < 2`."""
    key = order(*parse(version))
    for part in requirement.split(","):
        found = COMPARATOR.fullmatch(part.strip())
        if not found:
            raise ValueError(f"not a requirement: {requirement!r}")
        operator, (numbers, pre) = found[1] or "^", parse(found[2])
        bound = order(numbers, pre)
        holds = {
            ">=": key >= bound,
            "<=": key <= bound,
            ">": key > bound,
            "<": key < bound,
            "=": key == bound,
            "^": bound <= key < caret_end(numbers),
            "~": bound <= key < tilde_end(numbers),
        }[operator]
        if not holds:
            return False
    return True


def is_affected(version, versions):
    safe = versions.get("patched", []) + versions.get("unaffected", [])
    return not any(satisfies(version, requirement) for requirement in safe)


def read_advisory(path):
    """The TOML block with which an advisory begins."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith("```toml\n"):
        raise ValueError("it does not begin with a TOML block")
    return tomllib.loads(text.removeprefix("```toml\n").split("\n```", 1)[0])


def findings(lock, database):
    """Yields (package, version, advisory) for everything in the lock file that an advisory speaks of."""
    for package in tomllib.loads(lock.read_text(encoding="utf-8")).get("package", []):
        if not package.get("source", "").startswith("registry+"):
            continue
        for path in sorted((database / "crates" / package["name"]).glob("RUSTSEC-*.md")):
            try:
                advisory = read_advisory(path)
                if "withdrawn" in advisory["advisory"]:
                    continue
                if is_affected(package["version"], advisory["versions"]):
                    yield package["name"], package["version"], advisory
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}: {error}") from error


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--lock", type=Path, default=ROOT / "Cargo.lock")
    arguments.add_argument("--db", type=Path, default=os.environ.get("ADVISORY_DB") or ROOT.parent / "shared/advisory-db")
    given = arguments.parse_args()
    if not (given.db / "crates").is_dir():
        print(f"no advisory database in {given.db}: clone https://github.com/rustsec/advisory-db and set ADVISORY_DB", file=sys.stderr)
        return 2
    try:
        found = list(findings(given.lock, given.db))
    except (OSError, ValueError) as error:
        print(f"advisories: {error}", file=sys.stderr)
        return 2
    vulnerable = 0
    for name, version, advisory in found:
        kind = advisory["advisory"].get("informational")
        vulnerable += kind is None
        level = "error" if kind is None else f"warning ({kind})"
        patched = ", ".join(advisory["versions"].get("patched", [])) or "no version"
        print(f"{level}: {name} {version}: {advisory['advisory']['id']}; patched: {patched}")
    print(f"advisories: {vulnerable} vulnerable, {len(found) - vulnerable} informational")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
