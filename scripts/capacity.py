"""``python -m scripts.capacity``: how many instances, and how much of everything, a number of members needs.

A model, not a measurement: what a member does in the busiest second, divided by what was measured one instance can
do. Every assumption is an option; where the first limit is met is said beside the sum.
"""

import math
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from scripts.session import CONTEXT, print_json, with_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What members do. Rates are those of a whole day; ``peak`` is how many times the mean the busiest second is."""

    members: int
    online: float
    group: int
    facts: float
    reactions: float
    loads: float
    peak: float

    @property
    def sockets(self) -> int:
        return math.ceil(self.members * self.online)

    def each_second(self, a_day: float) -> float:
        """How often all members together do in the busiest second what each does ``a_day`` times."""
        return self.members * a_day * self.peak / 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one instance, or one database, does; from ``make bench`` on the machine in question."""

    sockets: int
    socket_kib: float
    base_mib: float
    deliveries: float
    reads: float
    writes: float
    database_writes: float
    room_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is needed in the busiest second; ``shares`` is how much of one instance each kind of work takes.

    ``comparing`` is how much of its core each instance spends on comparing its rooms with the database.
    """

    instances: int
    limit: str
    shares: dict[str, float]
    sockets_an_instance: int
    rooms_an_instance: int
    comparing: float
    memory_mib_an_instance: float
    deliveries_a_second: float
    database_writes_a_second: float
    database_reads_a_second: float
    database_shards: int
    redis_in_a_second: float
    redis_out_a_second: float


# Each fact or reaction is one transaction of three or four statements; each page that is not in memory two queries.
QUERIES_A_PAGE = 2
# A page comes from memory while nothing changed: the share of loads that do not, measured in the mix of the demo.
PAGES_READ = 0.5
# Each instance compares its rooms (two queries in 5 s) and follows the control log (one a second).
COMPARE_SECONDS = 5
STANDING_READS = 2 / COMPARE_SECONDS + 1


def plan(load: Load, measured: Measured, *, headroom: float) -> Plan:
    """Give what ``load`` needs when no instance is to be busier than ``headroom`` (1 is all of it)."""
    facts, reactions = load.each_second(load.facts), load.each_second(load.reactions)
    listeners = load.group * load.online
    deliveries = (facts + reactions) * listeners
    reads = load.each_second(load.loads)
    shares = {
        "sockets": load.sockets / measured.sockets,
        "deliveries": deliveries / measured.deliveries,
        "reads": reads / measured.reads,
        "writes": (facts + reactions) / measured.writes,
    }
    # Sockets fill memory and files, the others take turns on one core.
    work = sum(share for name, share in shares.items() if name != "sockets")
    instances = max(1, math.ceil(max(shares["sockets"], work) / headroom))
    limit = (
        "sockets"
        if shares["sockets"] >= work
        else max(shares, key=lambda name: (name != "sockets") * shares[name])
    )
    sockets = math.ceil(load.sockets / instances)
    # An event goes to each instance where its room has a member: with small groups, to few.
    hearing = min(instances, max(1.0, instances * (1 - (1 - 1 / instances) ** listeners)))
    # Rooms live where they have a member.
    rooms = math.ceil(load.sockets / max(1.0, listeners) * hearing / instances)
    changes = facts + reactions
    return Plan(
        instances=instances,
        limit=limit,
        shares=shares,
        sockets_an_instance=sockets,
        rooms_an_instance=rooms,
        comparing=rooms * measured.room_us / 1e6 / COMPARE_SECONDS,
        memory_mib_an_instance=measured.base_mib + sockets * measured.socket_kib / 1024,
        deliveries_a_second=deliveries,
        database_writes_a_second=changes,
        database_reads_a_second=reads * PAGES_READ * QUERIES_A_PAGE + instances * STANDING_READS,
        database_shards=max(1, math.ceil(changes / measured.database_writes / headroom)),
        redis_in_a_second=changes if instances > 1 else 0,
        redis_out_a_second=changes * hearing if instances > 1 else 0,
    )


@click.command(context_settings=CONTEXT)
@click.argument("members", type=click.IntRange(1))
@click.option(
    "--online",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Share of members with the feed open in the busiest hour.",
)
@click.option("--group", type=click.IntRange(1), default=50, show_default=True, help="Members of a group.")
@click.option(
    "--facts",
    type=click.FloatRange(0),
    default=2,
    show_default=True,
    help="Posts, comments and deletions of a member a day.",
)
@click.option(
    "--reactions", type=click.FloatRange(0), default=6, show_default=True, help="Reactions of a member a day."
)
@click.option(
    "--loads",
    type=click.FloatRange(0),
    default=30,
    show_default=True,
    help="Pages that a member loads a day.",
)
@click.option(
    "--peak",
    type=click.FloatRange(1),
    default=5,
    show_default=True,
    help="How many times the day's mean the busiest second is.",
)
@click.option(
    "--headroom",
    type=click.FloatRange(0.05, 1),
    default=0.6,
    show_default=True,
    help="How busy an instance may be, so that the others can carry one that is gone.",
)
@click.option(
    "--sockets",
    "max_sockets",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Sockets of one instance.",
)
@click.option("--socket-kib", default=16.1, show_default=True, help="Memory of an idle socket.")
@click.option("--base-mib", default=75.0, show_default=True, help="Memory of an instance without sockets.")
@click.option(
    "--deliveries", default=85_000.0, show_default=True, help="Deliveries a second of one instance."
)
@click.option("--reads", default=1_500.0, show_default=True, help="Feed pages a second of one instance.")
@click.option("--writes", default=200.0, show_default=True, help="Comments a second of one instance.")
@click.option(
    "--database-writes", default=400.0, show_default=True, help="Transactions a second of one replica set."
)
@click.option(
    "--room-us",
    default=17.0,
    show_default=True,
    help="Microseconds of a core for comparing one room with the database.",
)
@with_json
def main(*, max_sockets: int, headroom: float, as_json: bool, **options: float) -> None:  # fmt: skip
    """Say what MEMBERS members need: instances, memory, database and Redis load in the busiest second.

    The figures that an option gives as measured were taken on two slow shared cores; put in your own.
    """
    load_names = Load.__dataclass_fields__
    load = Load(**{name: value for name, value in options.items() if name in load_names})  # type: ignore[arg-type]
    rest = {name: value for name, value in options.items() if name not in load_names}
    found = plan(load, Measured(sockets=max_sockets, **rest), headroom=headroom)
    if as_json:
        print_json(asdict(found))
    else:
        _show(load, found, Console(highlight=False))


def _show(load: Load, found: Plan, console: Console) -> None:
    table = Table(show_header=False, title=f"{load.members:,} members, {load.sockets:,} of them online")
    table.add_column()
    table.add_column(justify="right")
    rows = {
        "instances": f"{found.instances:,}",
        "limited by": found.limit,
        **{f"  {name}, in instances": f"{share:.2f}" for name, share in found.shares.items()},
        "sockets an instance": f"{found.sockets_an_instance:,}",
        "rooms an instance": f"{found.rooms_an_instance:,}",
        "  comparing them, of its core": f"{found.comparing:.1%}",
        "memory an instance": f"{found.memory_mib_an_instance:,.0f} MiB",
        "deliveries a second": f"{found.deliveries_a_second:,.0f}",
        "database writes a second": f"{found.database_writes_a_second:,.1f}",
        "database reads a second": f"{found.database_reads_a_second:,.1f}",
        "database shards": f"{found.database_shards:,}",
        "Redis messages in a second": f"{found.redis_in_a_second:,.1f}",
        "Redis messages out a second": f"{found.redis_out_a_second:,.1f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


if __name__ == "__main__":
    main()
