"""Why acts of a plan must not be done now: the disk, the settings or a person's decisions changed since it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from py_image_dedup.actions import Checks, Outcome, Result
from py_image_dedup.errors import ActionRefused
from py_image_dedup.model import Decisions
from py_image_dedup.plan import Plan


def of_decisions(plan: Plan, decisions: Decisions) -> Iterator[Outcome]:
    """Refuse the acts that a person decided against: that holds until it is taken back, whatever the plan says."""
    for group, act in plan.acts():
        if decisions.keeps(act.file.path, act.file.content, keeper=group.keeper.content):
            yield Outcome(act, Result.REFUSED, 'you said that it is kept; "keep --forget" takes that back')
        elif decisions.are_different(act.file.content, group.keeper.content):
            yield Outcome(
                act, Result.REFUSED, 'you said that it differs from its keeper; "different --forget" takes that back'
            )


def of_now(
    plan: Plan, decisions: Decisions, *, protected: Callable[[str], bool], decodable: Callable[[str], bool]
) -> Iterator[Outcome]:
    """Yield the acts that would be refused if the plan was executed now, in their order; nothing is touched."""
    decided = {outcome.act.id: outcome for outcome in of_decisions(plan, decisions)}
    checks = Checks(plan, protected=protected, decodable=decodable)
    for group, act in plan.acts():
        if act.id in decided:
            checks.stays(act)
            yield decided[act.id]
            continue
        try:
            checks.look_again(group, act)
        except ActionRefused as error:
            checks.stays(act)
            yield Outcome(act, Result.REFUSED, str(error))
