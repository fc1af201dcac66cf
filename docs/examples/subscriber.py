#!/usr/bin/env python3
"""An example of a program that misses no event and takes none twice, whenever it is killed.

    pip install nats-py protobuf
    subscriber.py nats://127.0.0.1:4222 PASSWORD http://127.0.0.1:8100 events.txt ['muster.v1.event.*.vm.>']

It writes one line for each event: sequence, kind, id, verb, revision. The sequence of the last whole line is where it goes
on after a crash: effect and position are one, so they cannot disagree. A program with a database would write both in one
transaction.

The types of the messages come from the gateway as descriptors, so there is no code to generate, and they are always those
of the Muster that one talks to.
"""

import asyncio
import os
import sys
import urllib.request

import nats
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

STREAM = "EVENTS"
RECORDS = {
    "vm": "muster.inventory.v1.Vm",
    "host": "muster.inventory.v1.Host",
    "host_group": "muster.inventory.v1.HostGroup",
    "job": "muster.jobs.v1.Job",
    "refresher": "muster.refresher.v1.Intervals",
}


def types_of(gateway):
    """Gives a function from the name of a message to its class."""
    with urllib.request.urlopen(f"{gateway}/api/v1/descriptors", timeout=30) as answer:
        files = descriptor_pb2.FileDescriptorSet.FromString(answer.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


class Done:
    """What was done, in a file."""

    def __init__(self, path):
        self.file = open(path, "a+b")
        self.file.seek(0)
        text = self.file.read()
        # A line without its end was being written when we were killed.
        whole = text.rfind(b"\n") + 1
        self.file.truncate(whole)
        lines = text[:whole].splitlines()
        self.sequence = int(lines[-1].split()[0]) if lines else 0

    def add(self, sequence, event):
        line = f"{sequence} {event.kind} {event.id} {event.verb} {event.revision}\n"
        self.file.write(line.encode())
        self.file.flush()
        os.fdatasync(self.file.fileno())
        self.sequence = sequence


async def follow(js, types, subject, done):
    """Reads on from where we were, until something is wrong."""
    state = (await js.stream_info(STREAM)).state
    if done.sequence and not (state.first_seq <= done.sequence + 1 and state.last_seq >= done.sequence):
        raise RuntimeError(f"events after {done.sequence} are gone: load everything again and begin anew")
    # It keeps nothing at the server but a place to read at, and goes by itself when nobody asks it any more.
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=done.sequence + 1,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30,
    )
    consumer = await js.pull_subscribe(subject, stream=STREAM, config=config)
    delivered = 0
    while True:
        try:
            messages = await consumer.fetch(100, timeout=2)
        except nats.errors.TimeoutError:
            await consumer.consumer_info()  # that it is still there: nothing happens is no error
            continue
        for message in messages:
            # The server counts what it delivers: a hole would be an event that was lost on the way.
            delivered += 1
            if message.metadata.sequence.consumer != delivered:
                raise RuntimeError(f"event {delivered} was lost on the way")
            event = types("muster.common.v1.Event").FromString(message.data)
            if event.after and event.kind in RECORDS:
                record = types(RECORDS[event.kind]).FromString(event.after)
                print(f"{event.kind} {event.name} was {event.verb}: {record.ByteSize()} bytes", flush=True)
            done.add(message.metadata.sequence.stream, event)


async def main(url, password, gateway, path, subject="muster.v1.event.>"):
    done = Done(path)
    types = types_of(gateway)
    # The prefix is that of the only inbox that this user may listen on.
    bus = await nats.connect(
        url, user="subscriber", password=password, inbox_prefix="_INBOX_subscriber", max_reconnect_attempts=-1
    )
    while True:
        try:
            await follow(bus.jetstream(), types, subject, done)
        except (nats.errors.Error, RuntimeError) as error:
            print(f"events cannot be read now, trying again: {error!r}", file=sys.stderr, flush=True)
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
