#!/usr/bin/env python3
"""Fills in the table of measured values in README.md and README.zh-CN.md from bench/results.json."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
HEADS = {
    "README.md": ("what", "measured", "bar", "missed", "`scripts/bench {row}`, {day}"),
    "README.zh-CN.md": ("项目", "实测", "目标", "未达到", "`scripts/bench {row}`，{day}"),
}


def number(value):
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def with_unit(value, unit):
    return f"{number(value)} {unit}".strip()


def bar(value):
    if value["bar"] == "none":
        return "", True
    ((kind, limit),) = value["bar"].items()
    if kind == "at_most":
        reached = value["value"] <= limit
        return ("0" if limit == 0 else f"≤ {with_unit(limit, value['unit'])}"), reached
    return f"≥ {with_unit(limit, value['unit'])}", value["value"] >= limit


def table(rows, head):
    what, measured, limit, missed, command = head
    yield f"| {what} | {measured} | {limit} |"
    yield "|---|---|---|"
    for row in rows:
        arguments = row["row"] + (" --quick" if row["quick"] else "")
        origin = command.format(row=arguments, day=row["measured_at"][:10])
        yield f"| **{row['what']}**<br>{origin} | | |"
        for value in row["values"]:
            text, reached = bar(value)
            verdict = "" if reached else f" **{missed}**"
            yield f"| {value['name']} | {with_unit(value['value'], value['unit'])}{verdict} | {text} |"


def main():
    rows = json.loads((ROOT / "bench/results.json").read_text(encoding="utf-8"))["rows"]
    machines = sorted({row["machine"] for row in rows})
    for name, head in HEADS.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        if BEGIN not in text or END not in text:
            sys.exit(f"{name}: `{BEGIN}` and `{END}` are not there")
        before, rest = text.split(BEGIN, 1)
        _, after = rest.split(END, 1)
        body = "\n".join(["; ".join(machines) + ".", "", *table(rows, head)])
        path.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
