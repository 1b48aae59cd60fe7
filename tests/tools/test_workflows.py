"""Tests the workflow of CI that reviews submissions."""

import re

import yaml
from tests.docs.pages import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "submission.yml").read_text("utf-8"))
JOBS = WORKFLOW["jobs"]
REVIEW, POST = JOBS["review"]["steps"], JOBS["comment"]["steps"]


def test_a_pull_request_cannot_change_the_workflow_that_reviews_it():
    assert set(WORKFLOW[True]) == {"pull_request_target"}  # YAML reads "on" as true
    assert [path.name for path in (ROOT / ".github" / "workflows").iterdir()] == ["submission.yml"]


def test_the_review_may_not_write_and_runs_the_code_of_the_main_branch():
    assert WORKFLOW["permissions"] == {}
    assert JOBS["review"]["permissions"] == {"contents": "read"}
    own, proposed = (step["with"] for step in REVIEW if step.get("uses", "").startswith("actions/checkout@"))
    assert own == {"ref": "${{ github.event.pull_request.base.sha }}", "persist-credentials": False}
    assert proposed["path"] == "proposed"
    assert proposed["ref"] == "${{ github.event.pull_request.head.sha }}"
    assert proposed["persist-credentials"] is False
    commands = [step["run"] for step in REVIEW if "run" in step]
    (command,) = (one for one in commands if "proposed" in one)
    assert command.startswith("python tools/review.py proposed/submissions/")
    assert not any("${{" in one for one in commands), "no text of the pull request becomes a command"


def test_the_job_that_may_write_runs_nothing_from_the_pull_request():
    assert JOBS["comment"]["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in POST)
    (command,) = (step["run"] for step in POST if "run" in step)
    assert command.startswith("gh pr comment")
    assert "${{" not in command


def test_the_comment_that_is_posted_is_the_one_that_the_review_writes():
    (written,) = (re.search(r"--out (\S+)", step["run"])[1] for step in REVIEW if "--out" in step.get("run", ""))
    (kept,) = (step["with"] for step in REVIEW if "upload-artifact" in step.get("uses", ""))
    (fetched,) = (step["with"] for step in POST if "download-artifact" in step.get("uses", ""))
    assert kept == {"name": fetched["name"], "path": written}
    assert any(f"--body-file {written}" in step.get("run", "") for step in POST)
