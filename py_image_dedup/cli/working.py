"""The command ``worker``."""

from __future__ import annotations

import os

import click

from py_image_dedup.cli.elsewhere import broker_module

_PATIENCE = 10  # seconds


@click.command()
@click.option("--config", "config_file", metavar="FILE", help="Read this configuration file.")
@click.option("--processes", "-p", type=click.IntRange(1), help="How many pictures are described at the same time.")
@click.option("--check", is_flag=True, help="Only see whether a worker answers within 10 s.")
def worker(config_file: str | None, processes: int | None, *, check: bool) -> None:
    """Describe pictures for other machines, until SIGTERM.

    Jobs come from remote.broker_url. What one picture may cost is in remote.time_limit, remote.memory_limit,
    analysis.max_megapixels and analysis.max_file_size.
    """
    from py_image_dedup.cli.wiring import load_without_folders

    settings = load_without_folders(config_file=config_file)
    broker = broker_module()
    if check:
        from py_image_dedup.remote import checking

        workers = broker.Workers(broker.addresses_of(settings.remote))
        checking.check(workers, _PATIENCE)
        click.echo("A worker answers.")
        return
    from py_image_dedup.remote.worker import make_worker

    count = processes or len(os.sched_getaffinity(0))
    command = ["worker", f"--concurrency={count}", "--loglevel=WARNING", "--without-gossip", "--without-mingle"]
    make_worker(settings).worker_main(command)
