"""What a data team would write in an afternoon, and what Weir is compared with: FastAPI, a queue in memory, a Buffer table.

An event is acknowledged when it is in the queue. What is in the queue, or in the Buffer table, dies with its process.

    PORT=8000 CLICKHOUSE_PORT=8123 python main.py
"""

import asyncio
import contextlib
import os
from datetime import datetime, timezone
from typing import Annotated
from uuid import UUID, uuid4

import clickhouse_connect
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field, HttpUrl

UInt64 = Annotated[int, Field(ge=0, lt=2**64)]

TABLE = """
CREATE TABLE IF NOT EXISTS events
(
    dt DateTime('UTC'), name LowCardinality(String), user_id UInt64, url String, obj LowCardinality(String),
    obj_id String, product_id UInt64, amount Float64, exp Map(LowCardinality(String), String),
    event_id UUID, received_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree PARTITION BY toYYYYMM(dt) ORDER BY (dt, name, obj, obj_id, event_id)
"""
BUFFER = """
CREATE TABLE IF NOT EXISTS events_buffer AS events
ENGINE = Buffer(default, events, 1, 1, 10, 1000, 100000, 1000000, 50000000)
"""
COLUMNS = [
    "dt", "name", "user_id", "url", "obj", "obj_id", "product_id", "amount", "exp", "event_id", "received_at",
]


class Event(BaseModel):
    dt: datetime
    name: str
    user_id: UInt64
    url: HttpUrl
    obj: str
    obj_id: str = ""
    product_id: UInt64 = 0
    amount: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    exp: dict[str, str] | None = None
    event_id: UUID | None = None

    def row(self) -> tuple:
        dt = self.dt if self.dt.tzinfo else self.dt.replace(tzinfo=timezone.utc)
        return (
            dt, self.name, self.user_id, str(self.url), self.obj, self.obj_id, self.product_id, self.amount,
            self.exp or {}, self.event_id or uuid4(), datetime.now(timezone.utc),
        )


queue: asyncio.Queue[Event] = asyncio.Queue()


def connect():
    return clickhouse_connect.get_client(host="127.0.0.1", port=int(os.environ["CLICKHOUSE_PORT"]))


async def insert_every_second():
    client = await asyncio.to_thread(connect)
    while True:
        await asyncio.sleep(1)
        rows = [queue.get_nowait().row() for _ in range(queue.qsize())]
        if rows:
            await asyncio.to_thread(client.insert, "events_buffer", rows, COLUMNS)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI):
    client = connect()
    client.command(TABLE)
    client.command(BUFFER)
    inserting = asyncio.create_task(insert_every_second())
    yield
    inserting.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/events")
async def post_event(event: Event):
    await queue.put(event)
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), loop="uvloop", http="httptools", access_log=False,
        log_level="warning",
    )
