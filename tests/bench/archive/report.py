"""The table, and the page that keeps it."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench import page
from tests.bench.archive.extras import Growth, LargeShards, Resumed
from tests.bench.archive.limits import Limits
from tests.bench.archive.plot import Panel, draw
from tests.bench.archive.runs import ARCHIVER, Runs, Way
from tests.bench.archive.weights import readable

_PLOT = Path("docs/benchmarks-archive.svg")
MIB = 1 << 20


def table(runs: Runs, by_hand: Sequence[Way], base: int) -> str:
    """`base`: peak of an interpreter that does nothing, in bytes."""
    lines = [
        (
            "| work | seconds | CPU s | memory above the interpreter's own | through the client | "
            "on local disk | faster than by hand |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for way in [*by_hand, *ARCHIVER]:
        who = "by hand: " if way in by_hand else ""
        moved, size = runs.client_bytes[way.key], runs.sizes[way.key]
        cells = [
            who + way.title,
            f"{runs.seconds(way.key):.2f}",
            f"{runs.cpu(way.key):.1f}",
            f"{(runs.rss(way.key) - base) / MIB:.0f} MiB{_goal(way.rss_mib, '≤ {} MiB')}",
            f"{readable(moved)} = {moved / size:.2%}{_goal(way.share, '≤ {:.1%}')}",
            readable(runs.written(way.key)),
            "; ".join(
                _ratio(runs, way.key, against, goal)
                for against, goal in way.against
                if against in {hand.key for hand in by_hand}
            ),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if "hand-directory" in runs.sizes:
        hand, ours = runs.sizes["hand-directory"], runs.sizes["directory-tar.gz"]
        lines.append(f"\nThe .tar.gz by hand has {hand:,} bytes, the archiver's {ours:,}.")
    return "\n".join(lines)


def _goal(value: float | None, form: str) -> str:
    return "" if value is None else f" (goal {form.format(value)})"


def _ratio(runs: Runs, key: str, against: str, goal: float) -> str:
    ratios = sorted(runs.ratios(key, against))
    middle = ratios[len(ratios) // 2]
    spread = f", {ratios[0]:.0f} to {ratios[-1]:.0f}" if len(ratios) > 1 else ""
    return f"**{middle:.1f}×** {against.removeprefix('hand-')}{spread} (goal {goal:g}×)"


def extras(
    large: Sequence[LargeShards], resumed: Resumed, growth: Sequence[Growth], limits: Limits
) -> str:
    lines = [
        "| what the machine allows | |",
        "|---|---|",
        f"| start of a worker until its first request could go | {limits.start_seconds:.2f} s |",
        f"| compressing on one thread | {readable(limits.compressing)}/s |",
        f"| compressing on two | {readable(limits.compressing_twice)}/s |",
        "",
    ]
    lines += [
        "| four shards of 5 GB, server-side | seconds | through the client |",
        "|---|---|---|",
    ]
    for one in large:
        share = f"{one.client_bytes / one.size:.2%} (goal ≤ 0.25%)"
        lines.append(f"| {one.title} | {one.seconds:.2f} | {share} |")
    lines += ["", "| killed at half and started again, directory → zip | |", "|---|---|"]
    lines += [
        f"| sent by the first run | {readable(resumed.first)} |",
        f"| sent by the second | {readable(resumed.second)} |",
        f"| sent twice | {resumed.repeated / MIB:.1f} MiB (goal ≤ {resumed.allowed // MIB} MiB) |",
        f"| same bytes as a run that was not killed | {'yes' if resumed.identical else 'NO'} |",
    ]
    grown = " → ".join(readable(size) for size in growth[0].sizes) if growth else "larger"
    lines += [
        "",
        f"| {grown} | seconds | ratio | memory above the interpreter's own |",
        "|---|---|---|---|",
    ]
    for each in growth:
        small, large_run = each.small, each.large
        memory = [f"{(usage.rss - each.base) / MIB:.0f}" for usage in (small, large_run)]
        lines.append(
            f"| {each.title} | {small.seconds:.2f} → {large_run.seconds:.2f} | "
            f"{large_run.seconds / small.seconds:.1f} | {' → '.join(memory)} MiB |"
        )
    return "\n".join(lines)


def plot(runs: Runs, by_hand: Sequence[Way], base: int) -> str:
    every = [*by_hand, *ARCHIVER]
    seconds = [runs.seconds(way.key) for way in every]
    moved = [float(runs.client_bytes[way.key]) for way in every]
    memory = [float(runs.rss(way.key) - base) for way in every]
    return draw(
        [(way.title, "hand" if way in by_hand else "archiver") for way in every],
        [
            Panel("seconds", seconds, [f"{value:.2f}" for value in seconds]),
            Panel("bytes through the client", moved, [readable(value) for value in moved]),
            Panel("memory", memory, [f"{value / MIB:.0f} MiB" for value in memory]),
        ],
    )


def write(text: str, picture: str) -> None:
    """Put `text` into the page, and the plot beside it."""
    shown = f"![Seconds, bytes through the client and memory of each way]({_PLOT.name})"
    page.put("archive", f"{shown}\n\n{text}")
    _PLOT.write_text(picture)
