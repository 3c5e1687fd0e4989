"""Adds up what the runners said; exits 1 when a test was ignored, skipped or failed, or when a runner said nothing."""

import re
import sys
from pathlib import Path

logs = Path(sys.argv[1])


def total(file, pattern):
    text = re.sub(r"\x1b\[[0-9;]*m", "", (logs / file).read_text(encoding="utf-8"))
    return sum(int(number) for number in re.findall(pattern, text, re.MULTILINE))


rows = [
    (
        "unit and house tests",
        total("rust.log", r"^test result: .*?(\d+) passed"),
        total("rust.log", r"^test result: .*?(\d+) failed"),
        total("rust.log", r"^test result: .*?(\d+) ignored") + total("rust.log", r"^test result: .*?(\d+) filtered"),
    ),
    (
        "page units",
        total("page.log", r"^\s+Tests\s.*?(\d+) passed"),
        total("page.log", r"^\s+Tests\s.*?(\d+) failed"),
        total("page.log", r"^\s+Tests\s.*?(\d+) (?:skipped|todo)"),
    ),
    (
        "page in Chromium",
        total("browser.log", r"^\S* ?pass (\d+)$"),
        total("browser.log", r"^\S* ?fail (\d+)$"),
        total("browser.log", r"^\S* ?(?:skipped|todo|cancelled) (\d+)$"),
    ),
]
print(f"{'':24}{'passed':>8}{'failed':>8}{'skipped':>8}")
for name, passed, failed, skipped in rows:
    print(f"{name:24}{passed:8}{failed:8}{skipped:8}")
if any(failed or skipped or not passed for _, passed, failed, skipped in rows):
    sys.exit("a test failed, was ignored or skipped, or a runner said nothing")
print("all tests passed")
