"""The files that only the project's host reads: workflows, forms, Dependabot, the citation.

They cannot run here. Their schemas, which come with check-jsonschema, find misspelt keys; the other
tests hold what no schema says.
"""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(
    set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"}
)
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "custom.github-workflows-require-timeout": WORKFLOWS,
    "vendor.github-issue-forms": FORMS,
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}


def find_schema_faults(schema, files):
    """What check-jsonschema says; empty where the files are as the schema wants them."""
    arguments = ["--builtin-schema", schema, "--force-filetype", "yaml", *map(str, files)]
    result = CliRunner().invoke(check_jsonschema, arguments)
    return result.output if result.exit_code else ""


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def list_jobs():
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield pytest.param(job, id=f"{path.stem} {name}")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schema(schema):
    assert SCHEMAS[schema]
    assert find_schema_faults(schema, SCHEMAS[schema]) == ""


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_schema_finds_a_wrong_key(schema, tmp_path):
    wrong = tmp_path / "wrong.yml"
    text = SCHEMAS[schema][0].read_text(encoding="utf-8")
    text = text.replace("timeout-minutes", "timeout") if "timeout" in schema else f"{text}\nx: y\n"
    wrong.write_text(text, encoding="utf-8")
    assert "wrong.yml" in find_schema_faults(schema, [wrong])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_of_others_are_pinned_by_commit(path):
    uses = re.findall(r"uses: (?!\./)(.*)", path.read_text(encoding="utf-8"))
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_only_publishing_may_do_more_than_read():
    for path in WORKFLOWS:
        workflow = read(path)
        assert set(workflow["permissions"].items()) <= {("contents", "read")}
        for name, job in workflow["jobs"].items():
            allowed = {("id-token", "write")} if name == "publish" else {("contents", "read")}
            assert set(job.get("permissions", {}).items()) <= allowed, f"{path.name}: {name}"


def test_publishing_waits_for_the_tests_and_the_smoke_test():
    jobs = read(GITHUB / "workflows/release.yml")["jobs"]
    assert jobs["publish"]["needs"] == ["tests", "build"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert jobs["publish"]["steps"][-1]["with"]["attestations"] is True


def test_the_pythons_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    jobs = read(GITHUB / "workflows/tests.yml")["jobs"]
    matrix = jobs["systems"]["strategy"]["matrix"]
    assert matrix["python"] == named
    assert [system.partition("-")[0] for system in matrix["system"]] == [
        "ubuntu",
        "windows",
        "macos",
    ]
    (oldest,) = [s["with"] for s in jobs["oldest"]["steps"] if "setup-python" in s.get("uses", "")]
    assert f">={oldest['python-version']}" == project["requires-python"]


@pytest.mark.parametrize("job", list(list_jobs()))
def test_what_a_step_runs_exists(job):
    for step in job.get("steps", []):
        for script in re.findall(r"\b(scripts/\w+\.py)", step.get("run", "")):
            assert (ROOT / script).is_file()
        for target in re.findall(r"^make (\w+)", step.get("run", ""), flags=re.MULTILINE):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
