"""The command ``worker``."""

from __future__ import annotations

import os

import click

from py_image_dedup.cli.elsewhere import broker_module


@click.command()
@click.option("--config", "config_file", metavar="FILE", help="Read this configuration file.")
@click.option("--processes", "-p", type=click.IntRange(1), help="How many pictures are described at the same time.")
def worker(config_file: str | None, processes: int | None) -> None:
    """Describe pictures for other machines, until SIGTERM.

    Jobs come from remote.broker_url. What one picture may cost is in remote.time_limit, remote.memory_limit,
    analysis.max_megapixels and analysis.max_file_size.
    """
    from py_image_dedup.cli.wiring import load

    settings = load(folders=(), config_file=config_file).settings
    broker_module()
    from py_image_dedup.remote.worker import make_worker

    count = processes or len(os.sched_getaffinity(0))
    command = ["worker", f"--concurrency={count}", "--loglevel=WARNING", "--without-gossip", "--without-mingle"]
    make_worker(settings).worker_main(command)
