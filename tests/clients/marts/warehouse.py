"""ClickHouse, as the variables CLICKHOUSE_URL, _USER, _PASSWORD and _DATABASE say, and the raw events in it."""

import json
import os
import urllib.parse

import clickhouse_connect
import numpy as np

DAY = 86_400

# Casts only: what a reader of the wire would do. UUIDToNum gives the bytes of an id as they are written.
RAW = """
select
    toUnixTimestamp(dt), toString(name), user_id, url, toString(obj), obj_id, amount,
    toLowCardinality(toJSONString([cast(mapKeys(exp), 'Array(String)'), cast(mapValues(exp), 'Array(String)')])),
    UUIDToNum(event_id), toUnixTimestamp64Milli(received_at)
from events
"""


def connect(database=None):
    """A client of the warehouse."""
    url = urllib.parse.urlsplit(os.environ.get("CLICKHOUSE_URL", "http://127.0.0.1:8123"))
    return clickhouse_connect.get_client(
        host=url.hostname,
        port=url.port or (443 if url.scheme == "https" else 80),
        secure=url.scheme == "https",
        username=os.environ.get("CLICKHOUSE_USER", "default"),
        password=os.environ.get("CLICKHOUSE_PASSWORD", ""),
        database=database or os.environ.get("CLICKHOUSE_DATABASE", "analytics"),
        # Two queries of one client may run at the same time.
        autogenerate_session_id=False,
        send_receive_timeout=1_800,
    )


class Events:
    """Events as columns. Words are numbers that `words` spells out: `words["url"][events.url[i]]`."""

    WORDS = ("name", "url", "obj", "obj_id", "exp")
    NUMBERS = {
        "dt": np.int64, "user_id": np.uint64, "amount": np.float64, "id_high": np.uint64, "id_low": np.uint64,
        "received_at": np.int64, "name": np.int32, "url": np.int32, "obj": np.int32, "obj_id": np.int32, "exp": np.int32,
    }

    def __init__(self, columns, words):
        self.words = words
        for name, kind in self.NUMBERS.items():
            setattr(self, name, np.asarray(columns[name], dtype=kind))

    def __len__(self):
        return len(self.dt)

    @property
    def day(self):
        """The UTC day, in days since 1970."""
        return self.dt // DAY

    def take(self, which):
        """Those events only."""
        return Events({name: getattr(self, name)[which] for name in self.NUMBERS}, self.words)

    def is_(self, column, word):
        """Which events have this word."""
        codes = [code for code, spelled in enumerate(self.words[column]) if spelled == word]
        return np.isin(getattr(self, column), codes)

    def without_copies(self):
        """One of each (dt, name, obj, obj_id, event_id): the one that was received last."""
        order = np.lexsort((self.received_at, self.id_low, self.id_high, self.obj_id, self.obj, self.name, self.dt))
        ends = np.zeros(len(self), dtype=bool)
        ends[-1:] = True
        for column in (self.dt, self.name, self.obj, self.obj_id, self.id_high, self.id_low):
            ends[:-1] |= column[order][1:] != column[order][:-1]
        return self.take(np.sort(order[ends]))


class Collector:
    """Makes `Events` of blocks of columns in the order of `RAW`."""

    def __init__(self):
        self.words = {name: {} for name in Events.WORDS}
        self.blocks = {name: [] for name in Events.NUMBERS}

    def add(self, dt, name, user_id, url, obj, obj_id, amount, exp, ids, received_at):
        spelled = {"name": name, "url": url, "obj": obj, "obj_id": obj_id, "exp": exp}
        for word, column in spelled.items():
            known = self.words[word]
            codes = [known.setdefault(text, len(known)) for text in column]
            self.blocks[word].append(np.array(codes, dtype=np.int32))
        both = np.frombuffer(b"".join(bytes(id) for id in ids), dtype=">u8").reshape(-1, 2)
        numbers = {
            "dt": dt, "user_id": user_id, "amount": amount, "received_at": received_at,
            "id_high": both[:, 0], "id_low": both[:, 1],
        }
        for number, column in numbers.items():
            self.blocks[number].append(np.array(column, dtype=Events.NUMBERS[number]))

    def events(self):
        columns = {
            name: np.concatenate(blocks) if blocks else np.zeros(0, dtype=Events.NUMBERS[name])
            for name, blocks in self.blocks.items()
        }
        words = {name: list(known) for name, known in self.words.items()}
        words["exp"] = [list(zip(*json.loads(text))) for text in words["exp"]]
        return Events(columns, words)


def read_events(client, say):
    """All rows of `events`, copies and all, and without FINAL."""
    collector = Collector()
    rows = 0
    with client.query_column_block_stream(RAW) as stream:
        for block in stream:
            collector.add(*block)
            rows += len(block[0])
            say(f"read {rows:,} rows of events", True)
    return collector.events()
