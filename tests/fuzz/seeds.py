#!/usr/bin/env python3
"""Writes the first inputs of each fuzz target to tests/fuzz/corpus/<target>/, from tests/fixtures/contract.jsonl.

libFuzzer finds the structure of JSON or SQL by itself only after hours; from real inputs it starts at once.
"""

import base64
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE.parent / "fixtures" / "contract.jsonl"


def body(case):
    return case["body"].encode() if "body" in case else base64.b64decode(case["body_b64"])


def line(case):
    """The line that the stream carries for an accepted event."""
    event = case["event"]
    if isinstance(event["amount"], dict):  # Not finite: there is no such line.
        return None
    fields = {
        "event_id": f"00000000-0000-4000-8000-{case['id']:012}",
        "received_at": "2024-05-17T10:20:31.500Z",
        **event,
        "dt": event["dt"][:19] + "Z",
        "exp": event["exp"] or {},
    }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=case["id"] % 2 == 0).encode("utf-8", "replace")


def long_values():
    """Values longer than what an answer echoes."""
    for value in [b"1." + b"5" * 5000, b"9" * 4000, b'"' + b"\\u0001" * 5000 + b'"', b"[" * 100 + b"]" * 100]:
        yield b'{"user_id":' + value + b"}"


def seeds():
    cases = [json.loads(text) for text in CASES.read_text().splitlines()]
    bodies = [body(case) for case in cases] + list(long_values())
    lines = [text for case in cases if case["status"] == 200 and (text := line(case))]
    few = [text for text in bodies if len(text) < 600]
    yield from (("event_from_json", text) for text in bodies)
    yield from (("record_from_line", text) for text in lines)
    for start in range(0, len(few), 3):
        group = few[start : start + 3]
        yield "batch_from_json", b"[" + b", ".join(group) + b"]"
        yield "batch_from_json", group[0]
        yield "batch_from_ndjson", b"\r\n".join(text.replace(b"\n", b" ") for text in group)


def main():
    counts = {}
    for target, data in seeds():
        counts[target] = counts.get(target, 0) + 1
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{counts[target]:04}").write_bytes(data)
    for target, count in sorted(counts.items()):
        print(f"{target}: {count} seeds")


if __name__ == "__main__":
    main()
