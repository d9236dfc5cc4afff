#!/usr/bin/env python3
"""Writes request rates of bursty traffic, made up from fixed seeds, as series that preheat reads.

usage: bursts.py FOLDER

on-off     10 minutes at 2 requests/s, 10 at 12, for 4 hours
pareto     at 2 and at 10 requests/s by turns, for Pareto-distributed times, 6 hours
flash      crowds of 8 to 20 requests/s that rise at once and fade in minutes, over 4, 8 hours
switching  4 or 14 requests/s, from one to the other at random, some minutes each, 3 hours
levels     one of five levels between 2 and 14 requests/s, for 20 to 60 minutes each, 10 hours
"""

import math
import random
import sys
from pathlib import Path


def on_off():
    return 60, [12 if minute // 10 % 2 else 2 for minute in range(240)]


def pareto():
    chance, rates, high, until = random.Random(7), [], False, 0
    for minute in range(360):
        if minute * 60 >= until:
            high = not high
            until = minute * 60 + min(3000, 120 * chance.paretovariate(1.2))
        rates.append(10 if high else 2)
    return 60, rates


def flash():
    chance, rates, crowd = random.Random(7), [], 0.0
    following = chance.expovariate(1 / 5400)
    for step in range(8 * 120):
        if step * 30 >= following:
            crowd = 4 * chance.uniform(2, 5)
            following = step * 30 + 600 + chance.expovariate(1 / 5400)
        rates.append(4 + crowd)
        crowd *= math.exp(-30 / 400)
    return 30, rates


def switching():
    chance, rates, high = random.Random(5), [], False
    for _ in range(3 * 360):
        if chance.random() < (0.06 if high else 0.02):
            high = not high
        rates.append(14 if high else 4)
    return 10, rates


def levels():
    chance, rates = random.Random(3), []
    while len(rates) < 600:
        rates += [chance.choice([2, 4, 6, 9, 14])] * chance.randint(20, 60)
    return 60, rates[:600]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for made in (on_off, pareto, flash, switching, levels):
        step_s, rates = made()
        rows = [f"{index * step_s},{round(rate * step_s)}" for index, rate in enumerate(rates)]
        name = made.__name__.replace("_", "-")
        (folder / f"{name}.csv").write_text("\n".join(["start_s,requests", *rows, ""]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
