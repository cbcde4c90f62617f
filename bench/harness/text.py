# SPDX-License-Identifier: MIT
"""Numbers and tables for people."""


def count(value: float) -> str:
    """12.3 k, 4.56 M"""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def micros(us: float) -> str:
    if us < 1e3:
        return f"{us:.3g} µs" if us < 100 else f"{us:.0f} µs"
    return f"{us / 1e3:.3g} ms" if us < 1e6 else f"{us / 1e6:.3g} s"


def per_second(size: float) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}/s"
    return f"{size / 1e3:.3g} kB/s"


def times(ratio: float) -> str:
    return f"{ratio:.2f} ×"


def reached(ratio: float, wanted: float, at_most: bool) -> str:
    """The bound, and whether it holds."""
    good = ratio <= wanted if at_most else ratio >= wanted
    sign = "≤" if at_most else "≥"
    return f"{sign} {wanted:g} ×: {'yes' if good else '**no**'}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Numbers to the right, the first column to the left."""
    lines = ["| " + " | ".join(head) + " |",
             "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
