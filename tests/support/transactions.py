"""Facts as a stage before the counting stage would write them: in a transaction."""

from __future__ import annotations

from confluent_kafka import Producer

from tests.support.counted import Counted
from tests.support.counting import fact


def produce_in_a_transaction(counted: Counted, count: int) -> None:
    """That many facts, by turns to all partitions; the transaction's markers follow in each."""
    producer = Producer({"bootstrap.servers": counted.bootstrap, "transactional.id": f"t.{counted.suffix}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(count):
        partition = number % counted.partitions
        producer.produce(counted.facts, fact(number, f"k{number}"), f"k{number}".encode(), partition)
    producer.commit_transaction(30)
