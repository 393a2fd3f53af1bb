"""The pages: what is asked for, found and shown, and what is chosen there."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import parse_qsl, urlencode

import flask
from werkzeug.wrappers import Response

from py_image_dedup import actions
from py_image_dedup.errors import DedupError, PlanError, UsageError
from py_image_dedup.files import printable
from py_image_dedup.model import Turn
from py_image_dedup.review import choices
from py_image_dedup.review.choices import Fate
from py_image_dedup.review.desk import Desk, Outdated, find
from py_image_dedup.review.guard import Guard
from py_image_dedup.review.hands import Hands, Rehearsal
from py_image_dedup.review.jobs import Job, Jobs, Watching
from py_image_dedup.review.outlook import outlook
from py_image_dedup.review.pictures import LARGE, SMALL, NotShown, Pictures, notice
from py_image_dedup.review.preferring import Preference, preferred
from py_image_dedup.review.shown import Showing, ShownGroup, ShownRun
from py_image_dedup.review.sight import SORTS, Finder, Sight

_GROUPS: Final = 20  # on a page
_IN_LIST: Final = 11  # files besides the keeper that a group shows in the list
_IN_GROUP: Final = 60  # the same on its own page
_ACTS: Final = 1000  # of a run that are listed


@dataclass(frozen=True, slots=True)
class Pages:
    """All pages, over what they show and what they ask to act."""

    desk: Desk
    hands: Hands
    jobs: Jobs
    pictures: Pictures
    guard: Guard
    finder: Finder
    fate: Fate

    # Looking

    def groups(self) -> str:
        """List groups, a page of them."""
        sight, page = _sight(flask.request.args)
        plan = self.desk.plan
        numbers = self.finder.numbers(plan, sight)
        pages = max(1, -(-len(numbers) // _GROUPS))
        page = min(page, pages)
        showing = self._showing()
        return flask.render_template(
            "groups.html",
            groups=[
                showing.group(number, plan.groups[number], slice(_IN_LIST))
                for number in numbers[(page - 1) * _GROUPS : page * _GROUPS]
            ],
            found=len(numbers),
            page=page,
            pages=pages,
            sight=sight,
            usual=Sight(),
            sorts=SORTS,
            back=_query(sight, page),
            at=lambda page: "?" + _query(sight, page),
        )

    def group(self, number: int) -> str:
        """Show one group, with all its files, a page of them at a time."""
        start = flask.request.args.get("from", 0, type=int)
        shown = slice(max(0, start), max(0, start) + _IN_GROUP)
        group = self._group(number, shown)
        files = len(self.desk.plan.groups[number - 1].duplicates)
        return flask.render_template("group.html", group=group, start=max(0, start), step=_IN_GROUP, files=files)

    def loupe(self, number: int, position: int) -> str:
        """Show a file and its keeper at the same place."""
        find(self.desk.plan, number - 1, position)
        group = self._group(number, slice(position - 1, position))
        return flask.render_template("loupe.html", group=group, file=group.files[-1])

    def picture(self, number: int, position: int) -> Response:
        """Return a picture of the plan, or one that says why not."""
        plan = self.desk.plan
        file = find(plan, number - 1, position)
        large = flask.request.args.get("size") == "large"
        turn = plan.groups[number - 1].duplicates[position - 1].turn if large and position else Turn.UPRIGHT
        try:
            data, kind, code = self.pictures.preview(file, side=LARGE if large else SMALL, turn=turn), "jpeg", 200
        except NotShown as error:
            data, kind, code = notice(str(error)), "svg+xml", 404
        answer = flask.Response(data, code, content_type=f"image/{kind}")
        answer.set_etag(f"{file.content[:32]}-{turn:d}")
        answer.cache_control.private = True
        answer.cache_control.no_cache = True
        return answer.make_conditional(flask.request) if code == 200 else answer

    def overview(self) -> str:
        """Show the plan at large."""
        return flask.render_template("overview.html", outlook=outlook(self.desk.plan), plan=self.desk.plan)

    # Choosing

    def choose(self) -> Response | tuple[str, int]:
        """Save what a person chose in a group, and go back to where that was."""
        form = flask.request.form
        number = form.get("group", 0, type=int)
        what, _, which = form.get("do", "").partition(":")
        position = int(which) if which.isascii() and which.isdecimal() else 0
        find(self.desk.plan, number - 1, position)
        try:
            self._choose(number - 1, form.get("seen", ""), what, position)
        except Outdated as outdated:
            return flask.render_template("message.html", message=str(outdated), group=self._shortly(number)), 409
        return self._back(number, position, form)

    def _choose(self, number: int, seen: str, what: str, position: int) -> None:
        change = functools.partial(self.desk.change, number, seen)
        match what:
            case "keeper":
                change(lambda group: choices.make_keeper(group, position, self.fate, self.hands.compare))
            case "stay":
                change(lambda group: choices.let_stay(group, position))
            case "go":
                change(lambda group: choices.let_go(group, position, self.fate))
            case "all":
                change(choices.let_all_stay)
            case "different":
                self.hands.tell_apart(*self.desk.pair(number, position, seen))
                change(lambda group: choices.let_stay(group, position))
            case "forget":
                self.hands.forget_apart(*self.desk.pair(number, position, seen))
            case _:
                raise UsageError("there is nothing to choose of that name")

    def prefer(self) -> Response:
        """Begin to find out what would change if duplicates below a folder stayed."""
        plan, folder = self.desk.plan, flask.request.form.get("folder", "").strip()[:4096]

        def work(job: Job) -> None:
            job.result = preferred(plan, folder, self.fate, self.hands.compare, Watching(job))

        self.jobs.start("prefer", f"Prefer {folder}", work)
        return flask.redirect(flask.url_for("job"), 303)

    def save_preference(self) -> Response:
        """Save the changes that were looked at."""
        last = self.jobs.last
        preference = self._preference(last)
        if last is None or preference is None or flask.request.form.get("job", 0, type=int) != last.id:
            raise Outdated("the plan was changed since these changes were looked at; look again")
        self.desk.change_several(preference.plan, preference.changed)
        return flask.redirect(flask.url_for("overview"), 303)

    def _preference(self, job: Job | None) -> Preference | None:
        found = job.result if job is not None else None
        return found if isinstance(found, Preference) and found.plan is self.desk.plan else None

    def _back(self, number: int, position: int, form: Mapping[str, str]) -> Response:
        place = f"#f{number}-{position}"
        if form.get("from_group"):
            return flask.redirect(flask.url_for("group", number=number) + place, 303)
        sight, page = _sight(dict(parse_qsl(form.get("back", ""))))
        return flask.redirect(f"{flask.url_for('groups')}?{_query(sight, page)}{place}", 303)

    # Doing

    def apply(self) -> str:
        """Show what applying would do, if somebody looked that up for the plan as it is."""
        job = self.jobs.last
        return flask.render_template("apply.html", job=job, rehearsal=self._rehearsal(job), plan=self.desk.plan)

    def _rehearsal(self, job: Job | None) -> Rehearsal | None:
        found = job.result if job is not None else None
        return found if isinstance(found, Rehearsal) and found.plan is self.desk.plan else None

    def rehearse(self) -> Response:
        """Begin to find out what applying would do."""
        plan = self.desk.plan

        def work(job: Job) -> None:
            job.result, job.text = self.hands.rehearse(plan, Watching(job))

        self.jobs.start("rehearse", "Looking again at every file that would go", work)
        return flask.redirect(flask.url_for("job"), 303)

    def carry_out(self) -> Response:
        """Begin to apply the plan that was looked at."""
        form = flask.request.form
        last = self.jobs.last
        rehearsal = self._rehearsal(last)
        if last is None or rehearsal is None or form.get("job", 0, type=int) != last.id:
            raise Outdated("the plan was changed since it was looked at; look again at what would happen")
        for name, count in (("similar", rehearsal.similar), ("deleted", rehearsal.deleted)):
            if count and form.get(name) != str(count):
                raise UsageError("what needs a confirmation was not confirmed; nothing was done")
        plan = rehearsal.plan

        def work(job: Job) -> None:
            with self.desk.nobody_changes("the plan is being applied"):
                if self.desk.plan is not plan:
                    raise Outdated("the plan was changed at the last moment; nothing was done")
                job.result, job.text = self.hands.apply(plan, Watching(job))

        self.jobs.start("apply", "Applying the plan", work)
        return flask.redirect(flask.url_for("job"), 303)

    def job(self) -> str:
        """Show what is done in the background, or was done last."""
        job = self.jobs.last
        finished = job is not None and job.finished  # asked first: what it found is there by then
        found = {"rehearsal": self._rehearsal(job), "preference": self._preference(job)}
        return flask.render_template("job.html", job=job, finished=finished, **found)

    def job_state(self) -> Response:
        """Return the same as data."""
        job = self.jobs.last
        if job is None:
            return flask.jsonify({"finished": True})
        names = ("id", "phase", "done", "total", "finished")
        return flask.jsonify({name: getattr(job, name) for name in names} | {"lines": list(job.lines)[-20:]})

    def stop(self) -> Response:
        """End what is done in the background after the act that it is at."""
        self.jobs.stop()
        return flask.redirect(flask.url_for("job"), 303)

    def history(self) -> str:
        """List past runs."""
        runs = [ShownRun.of(run, deleted=len(actions.deleted(run))) for run in self.hands.runs()]
        return flask.render_template("history.html", runs=runs)

    def run(self, name: str) -> str:
        """Show a past run."""
        run = self.hands.run(name)
        return flask.render_template("run.html", run=ShownRun.of(run, deleted=len(actions.deleted(run)), most=_ACTS))

    def undo(self, name: str) -> Response:
        """Begin to take a run back."""
        self.hands.run(name)

        def work(job: Job) -> None:
            with self.desk.nobody_changes("a run is being taken back"):
                job.text = self.hands.undo(name, Watching(job))

        self.jobs.start("undo", f"Taking back {name}", work)
        return flask.redirect(flask.url_for("job"), 303)

    # What all have in common

    def failed(self, error: DedupError) -> tuple[str, int]:
        """Tell what went wrong."""
        code = 409 if isinstance(error, Outdated | PlanError) else 400 if isinstance(error, UsageError) else 500
        return flask.render_template("message.html", message=printable(str(error)), group=None), code

    def _showing(self) -> Showing:
        return Showing(self.fate, self.hands.said(), self.pictures.shot)

    def _group(self, number: int, shown: slice) -> ShownGroup:
        plan = self.desk.plan
        find(plan, number - 1, 0)
        return self._showing().group(number - 1, plan.groups[number - 1], shown)

    def _shortly(self, number: int) -> ShownGroup:
        return self._group(number, slice(_IN_LIST))


def _sight(given: Mapping[str, str]) -> tuple[Sight, int]:
    """Return what is asked for, and the page of it; what makes no sense counts as not given."""
    least, most, megabytes = (
        _number(given, name, default) for name, default in (("least", 0.0), ("most", 1.0), ("megabytes", 0.0))
    )
    sight = Sight(
        folder=given.get("folder", "").strip()[:4096],
        level=given.get("level", "") if given.get("level") in {"duplicate", "similar"} else "",
        least=least,
        most=most,
        megabytes=megabytes,
        going=given.get("going") == "True",
        sort=given.get("sort", "") if given.get("sort") in SORTS else SORTS[0],
    )
    return sight, max(1, int(_number(given, "page", 1.0)))


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(given.get(name, ""))
    except ValueError:
        return default
    return value if 0 <= value < 1e9 else default


def _query(sight: Sight, page: int) -> str:
    """Return what asks for the same again."""
    usual = Sight()
    said = {one.name: value for one in fields(sight) if (value := getattr(sight, one.name)) != getattr(usual, one.name)}
    return urlencode(said | ({"page": page} if page > 1 else {}))
