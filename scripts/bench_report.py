#!/usr/bin/env python3
"""bench_report.py table RESULTS.csv PLOT.svg: prints a Markdown table of medians and spreads, and draws them.
bench_report.py memtier SET|GET OUTPUT.json: prints ops/s, p50, p99 and max in ms of a memtier_benchmark run.

For scripts/benchmark_kvns.sh. Ratios are taken between runs of one repetition, which followed one another.
"""
import csv
import json
import statistics
import sys
from html import escape

COLORS = {"kvns": "#2b6cb0", "sharded": "#dd6b20", "redis-server": "#718096"}
FIGURES = ["ops_per_second", "cpu_us_per_op", "p50_ms", "p99_ms", "max_ms"]


def memtier(operation, path):
    with open(path) as file:
        stats = json.load(file)["ALL STATS"]["Sets" if operation == "SET" else "Gets"]
    percentiles = stats["Percentile Latencies"]
    print(stats["Ops/sec"], percentiles["p50.00"], percentiles["p99.00"], stats["Max Latency"], sep=",")


def read(path):
    """Profile -> server -> figure -> values by repetition; all in the order of the file."""
    profiles = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            figures = profiles.setdefault(row["profile"], {}).setdefault(row["server"], {})
            for name in FIGURES:
                figures.setdefault(name, []).append(float(row[name]))
    return profiles


def spread(values, form):
    middle = statistics.median(values)
    return f"{middle:{form}} ({min(values):{form}}-{max(values):{form}})"


def table(profiles):
    print("| profile | server | ops/s | CPU us/op | p50 ms | p99 ms | max ms | kvns ops/s against it | kvns CPU against it |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for profile, servers in profiles.items():
        for server, figures in servers.items():
            cells = [spread(figures["ops_per_second"], ".0f")] + [spread(figures[name], ".2f") for name in FIGURES[1:]]
            ours = servers.get("kvns")
            for name in ["ops_per_second", "cpu_us_per_op"]:
                if ours is None or server == "kvns":
                    cells.append("")
                else:
                    pairs = zip(ours[name], figures[name])
                    cells.append(spread([one / other for one, other in pairs if other], ".2f"))
            print("|", " | ".join([profile.replace(";", ","), server] + cells), "|")


def plot(profiles, path):
    """Two rows of bars, throughput and 99th percentile, each profile scaled to its own largest bar."""
    names = list(profiles)
    servers = list(dict.fromkeys(server for figures in profiles.values() for server in figures))
    bar, gap, height, left, top = 22, 30, 150, 20, 50
    group = len(servers) * (bar + 4) + gap
    width = left + group * len(names) + gap
    parts = []

    def text(x, y, words, size=10, anchor="middle"):
        parts.append(f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>')

    for row, (figure, title, form) in enumerate([
        ("ops_per_second", "operations a second: median, least and most", ",.0f"),
        ("p99_ms", "99th percentile in ms: median, least and most", ".2f"),
    ]):
        base = top + (height + 90) * row + height
        text(left, base - height - 22, title, 13, "start")
        for nth, profile in enumerate(names):
            largest = max(max(figures[figure]) for figures in profiles[profile].values()) or 1
            for place, server in enumerate(servers):
                values = profiles[profile].get(server, {}).get(figure)
                if not values:
                    continue
                x = left + nth * group + place * (bar + 4)
                middle, low, high = (height * value / largest for value in (statistics.median(values), min(values), max(values)))
                parts.append(f'<rect x="{x}" y="{base - middle:.1f}" width="{bar}" height="{middle:.1f}" '
                             f'fill="{COLORS.get(server, "#999999")}"/>')
                parts.append(f'<path d="M{x + bar / 2} {base - low:.1f}V{base - high:.1f}" stroke="#1a202c"/>')
                parts.append(f'<text transform="translate({x + bar / 2 + 3:.0f} {base - 4:.0f}) rotate(-90)" font-size="9" '
                             f'fill="#ffffff">{statistics.median(values):{form}}</text>')
            for line, words in enumerate(profile.split("; ")):
                text(left + nth * group + (group - gap) / 2, base + 14 + 12 * line, words)
    for place, server in enumerate(servers):
        x = left + 110 * place
        parts.append(f'<rect x="{x}" y="6" width="10" height="10" fill="{COLORS.get(server, "#999999")}"/>')
        text(x + 15, 15, server, 11, "start")
    total = top + 2 * (height + 90) - 30
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}" '
                   f'font-family="sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n')


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["memtier", operation, path]:
            memtier(operation, path)
        case ["table", results, image]:
            found = read(results)
            table(found)
            plot(found, image)
        case _:
            raise SystemExit(__doc__)
