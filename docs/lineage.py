#!/usr/bin/env python3
"""Draws docs/lineage.svg: which model reads which, from dbt's manifest. Python's standard library is all it needs.

    cargo weir dbt parse
    python3 docs/lineage.py             # writes the picture
    python3 docs/lineage.py --check     # says whether the picture is that of the models, and writes nothing
"""

import argparse
import json
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "lineage.svg"

BOX_HEIGHT, ROW, GAP, MARGIN, TOP = 44, 62, 70, 24, 52
CHARACTER = 8

STYLE = """
    .back { fill: #ffffff }
    .box { stroke-width: 1.5 }
    .source { fill: #f4f7fb; stroke: #37516e }
    .view { fill: #eef7ee; stroke: #3c7a3c }
    .incremental, .table { fill: #fff6e0; stroke: #9a6b00 }
    .t { fill: #14202e; text-anchor: middle; font-weight: 600 }
    .s { fill: #45586d; text-anchor: middle; font-size: 11px }
    .a { stroke: #7b8ea3; stroke-width: 1.4; fill: none }
    .h { fill: #7b8ea3 }
    @media (prefers-color-scheme: dark) {
      .back { fill: #0d1117 }
      .source { fill: #17222f; stroke: #7fa3c8 }
      .view { fill: #15251a; stroke: #74b874 }
      .incremental, .table { fill: #2a220f; stroke: #d9a633 }
      .t { fill: #e6edf3 }
      .s { fill: #a9b8c6 }
      .a { stroke: #8b98a5 }
      .h { fill: #8b98a5 }
    }
"""


def read(manifest):
    """The nodes by id, each with its name, kind and folder, and whom it reads."""
    nodes = {}
    for identity, node in (manifest["sources"] | manifest["nodes"]).items():
        if node["resource_type"] not in ("source", "model"):
            continue
        is_source = node["resource_type"] == "source"
        nodes[identity] = {
            "name": node["name"],
            "kind": "source" if is_source else node["config"]["materialized"],
            "folder": "" if is_source else node["fqn"][1],
            "reads": [] if is_source else sorted(set(node["depends_on"]["nodes"])),
        }
    for node in nodes.values():
        node["reads"] = [identity for identity in node["reads"] if identity in nodes]
    return nodes


def ranks(nodes):
    """The column of each node: one more than that of what it reads. Marts are all in the last one."""
    found = {}

    def rank(identity):
        if identity not in found:
            found[identity] = 1 + max((rank(parent) for parent in nodes[identity]["reads"]), default=-1)
        return found[identity]

    last = max(map(rank, nodes))
    read = {parent for node in nodes.values() for parent in node["reads"]}
    for identity, node in nodes.items():
        if node["folder"] == "marts" and identity not in read:
            found[identity] = last
    return found


def layers(nodes, rank):
    """The columns from top to bottom, and the ways between them. A way over several columns has a place in each."""
    columns = [[] for _ in range(max(rank.values()) + 1)]
    for identity in sorted(nodes, key=lambda identity: nodes[identity]["name"]):
        columns[rank[identity]].append(identity)
    steps, ways = [], []
    for identity in sorted(nodes):
        for parent in nodes[identity]["reads"]:
            way = [parent]
            for column in range(rank[parent] + 1, rank[identity]):
                way.append(("between", parent, identity, column))
                columns[column].append(way[-1])
            way.append(identity)
            ways.append(way)
            steps += zip(way, way[1:])
    # Each goes to the mean place of its neighbours in the column before, then after, a few times: few ways cross then.
    for turn in range(12):
        forwards = turn % 2 == 0
        for number in range(1, len(columns)) if forwards else range(len(columns) - 2, -1, -1):
            beside = {node: place for place, node in enumerate(columns[number + (-1 if forwards else 1)])}
            pairs = [pair if forwards else pair[::-1] for pair in steps]

            def mean(node, pairs=pairs, beside=beside, here=columns[number]):
                places = [beside[a] for a, b in pairs if b == node and a in beside]
                return sum(places) / len(places) if places else here.index(node)

            columns[number] = sorted(columns[number], key=lambda node: (mean(node), str(node)))
    return columns, ways


def draw(nodes):
    """The picture."""
    columns, ways = layers(nodes, ranks(nodes))
    # Between two boxes a way needs less room than a box does.
    tall = [[ROW if node in nodes else ROW // 2 for node in column] for column in columns]
    height = TOP + max(map(sum, tall)) + MARGIN
    place, left = {}, MARGIN
    for column, rows in zip(columns, tall):
        width = max(len(nodes[node]["name"]) for node in column if node in nodes) * CHARACTER + 28
        top = TOP + (height - TOP - MARGIN - sum(rows)) / 2
        for node, row in zip(column, rows):
            place[node] = (left, top + row / 2, width)
            top += row
        left += width + GAP
    whole = left - GAP + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole:.0f} {height:.0f}"'
        ' font-family="ui-sans-serif, system-ui, sans-serif" font-size="13" role="img"'
        ' aria-label="Which dbt model reads which, from the events to the marts">',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="back" width="{whole:.0f}" height="{height:.0f}"/>',
    ]
    for x, kind in zip((MARGIN, MARGIN + 110, MARGIN + 200), ("source", "view", "incremental")):
        out.append(f'  <rect class="box {kind}" x="{x}" y="14" width="16" height="14" rx="3"/>')
        out.append(f'  <text class="s" style="text-anchor: start" x="{x + 23}" y="25">{kind}</text>')
    for way in ways:
        x, y, width = place[way[0]]
        path = f"M{x + width:.1f} {y:.1f}"
        for node in way[1:]:
            from_x, from_y = x + width, y
            x, y, width = place[node]
            bend = (from_x + x) / 2
            path += f"C{bend:.1f} {from_y:.1f} {bend:.1f} {y:.1f} {x:.1f} {y:.1f}"
            if node not in nodes:
                path += f"H{x + width:.1f}"
        out.append(f'  <path class="a" d="{path}"/><path class="h" d="M{x:.1f} {y:.1f}l-8 -4v8z"/>')
    for column in columns:
        for node in column:
            if node not in nodes:
                continue
            x, y, width = place[node]
            kind, name = nodes[node]["kind"], nodes[node]["name"]
            out.append(
                f'  <rect class="box {kind}" x="{x:.1f}" y="{y - BOX_HEIGHT / 2:.1f}" width="{width:.1f}"'
                f' height="{BOX_HEIGHT}" rx="8"/>'
                f'<text class="t" x="{x + width / 2:.1f}" y="{y - 2:.1f}">{escape(name)}</text>'
                f'<text class="s" x="{x + width / 2:.1f}" y="{y + 14:.1f}">{escape(kind)}</text>'
            )
    return "\n".join([*out, "</svg>", ""])


def main():
    """The command."""
    parser = argparse.ArgumentParser(description="Draws docs/lineage.svg from dbt's manifest.")
    parser.add_argument("--manifest", type=Path, default=ROOT / ".weir/dbt/target/manifest.json", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="only compare; exit code 1 when the picture is another")
    args = parser.parse_args()
    picture = draw(read(json.loads(args.manifest.read_text(encoding="utf-8"))))
    if args.check:
        if not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != picture:
            sys.exit("docs/lineage.svg is not that of the models: python3 docs/lineage.py")
        return
    PICTURE.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
