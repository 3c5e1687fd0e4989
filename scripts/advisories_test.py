#!/usr/bin/env python3
"""Tests scripts/advisories.py on a database and lock files that are made up. Run: python3 scripts/advisories_test.py"""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from advisories import is_affected, satisfies  # noqa: E402

ADVISORY = """```toml
[advisory]
id = "{id}"
package = "leaky"
date = "2026-01-01"
{extra}
[versions]
patched = [">= 1.4.2", "^1.2.9"]
unaffected = ["< 1.0.0"]
```

# It leaks
"""
LOCK = """version = 4
[[package]]
name = "leaky"
version = "{version}"
source = "{source}"
"""
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


class Requirements(unittest.TestCase):
    def test_a_version_meets_a_requirement_or_not(self):
        table = [
            ("1.2.3", ">= 1.2.3", True),
            ("1.2.3", "> 1.2.3", False),
            ("1.2.10", ">=1.2.9", True),
            ("2.0.0-alpha.1", ">= 2.0.0", False),
            ("2.0.0-alpha.10", "> 2.0.0-alpha.9", True),
            ("2.0.0+build.7", "= 2.0.0", True),
            ("1.9.0", ">= 1.2, < 2", True),
            ("2.0.0", ">= 1.2, < 2", False),
            ("1.9.9", "^1.2.9", True),
            ("2.0.0", "^1.2.9", False),
            ("0.3.9", "^0.3.1", True),
            ("0.4.0", "^0.3.1", False),
            ("0.0.4", "^0.0.3", False),
            ("1.3.0", "1.2", True),
            ("1.3.0", "~1.2.3", False),
        ]
        for version, requirement, expected in table:
            self.assertEqual(satisfies(version, requirement), expected, f"{version} {requirement}")

    def test_what_cannot_be_read_is_an_error(self):
        for requirement in ["", "banana", ">= 1.x"]:
            with self.assertRaises(ValueError, msg=requirement):
                satisfies("1.0.0", requirement)

    def test_nothing_patched_means_affected(self):
        self.assertTrue(is_affected("9.9.9", {"patched": []}))


class Program(unittest.TestCase):
    def run_on(self, version, source=CRATES_IO, extra=""):
        with tempfile.TemporaryDirectory() as folder:
            crate = Path(folder, "crates", "leaky")
            crate.mkdir(parents=True)
            name = "RUSTSEC-2026-9999"
            (crate / f"{name}.md").write_text(ADVISORY.format(id=name, extra=extra), encoding="utf-8")
            lock = Path(folder, "Cargo.lock")
            lock.write_text(LOCK.format(version=version, source=source), encoding="utf-8")
            program = Path(__file__).with_name("advisories.py")
            return subprocess.run(
                [sys.executable, program, "--lock", lock, "--db", folder], capture_output=True, text=True, check=False
            )

    def test_the_exit_code_says_whether_something_is_vulnerable(self):
        table = [
            ("vulnerable", "1.1.0", CRATES_IO, "", 1),
            ("patched", "1.4.2", CRATES_IO, "", 0),
            ("patched on an older line", "1.2.9", CRATES_IO, "", 0),
            ("never affected", "0.9.0", CRATES_IO, "", 0),
            ("withdrawn", "1.1.0", CRATES_IO, 'withdrawn = "2026-02-01"', 0),
            ("informational", "1.1.0", CRATES_IO, 'informational = "unmaintained"', 0),
            ("our own crate of that name", "1.1.0", "", "", 0),
        ]
        for case, version, source, extra, code in table:
            ran = self.run_on(version, source, extra)
            self.assertEqual(ran.returncode, code, f"{case}: {ran.stdout}{ran.stderr}")

    def test_a_finding_names_the_advisory_and_the_way_out(self):
        said = self.run_on("1.1.0").stdout
        self.assertIn("error: leaky 1.1.0: RUSTSEC-2026-9999; patched: >= 1.4.2, ^1.2.9", said)

    def test_without_a_database_it_says_how_to_get_one(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(__file__).with_name("advisories.py")
            ran = subprocess.run([sys.executable, program, "--db", folder], capture_output=True, text=True, check=False)
        self.assertEqual(ran.returncode, 2)
        self.assertIn("ADVISORY_DB", ran.stderr)


if __name__ == "__main__":
    unittest.main()
