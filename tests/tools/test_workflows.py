"""Tests the workflows of CI that review submissions."""

import re

import yaml
from tests.docs.pages import ROOT

FOLDER = ROOT / ".github" / "workflows"
SUBMISSION, COMMENT = (
    yaml.safe_load((FOLDER / f"{name}.yml").read_text("utf-8")) for name in ("submission", "comment")
)
REVIEW, POST = SUBMISSION["jobs"]["review"]["steps"], COMMENT["jobs"]["comment"]["steps"]


def test_the_review_may_not_write_and_runs_the_code_of_the_main_branch():
    assert SUBMISSION["permissions"] == {"contents": "read"}
    own, proposed = (step["with"] for step in REVIEW if step.get("uses", "").startswith("actions/checkout@"))
    assert own == {"ref": "${{ github.event.pull_request.base.sha }}"}
    assert proposed["path"] == "proposed"
    commands = [step["run"] for step in REVIEW if "run" in step]
    (command,) = (one for one in commands if "proposed" in one)
    assert command.startswith("python tools/review.py proposed/submissions/")
    assert not any("${{" in one for one in commands), "no text of the pull request becomes a command"


def test_the_job_that_may_write_runs_nothing_from_the_pull_request():
    assert COMMENT[True]["workflow_run"]["workflows"] == [SUBMISSION["name"]]  # YAML reads "on" as true
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
