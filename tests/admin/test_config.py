"""`roost config`: every problem, every value, and where it comes from."""

import json
from pathlib import Path

import pytest

from admin.running import RunningBroker, command
from roost_admin.config import shown
from roost_admin.failures import EX_CONFIG, EX_UNAVAILABLE, EX_USAGE


def write(folder: Path, text: str) -> str:
    (folder / "roost.toml").write_text(text)
    return str(folder / "roost.toml")


def test_a_file_that_is_fine_gets_one_line(tmp_path: Path) -> None:
    file = write(tmp_path, "drain_s = 1\n[limits]\npublish_max = 8\n")
    checked = command("config", "check", file)
    assert (checked.exit_code, checked.stdout, checked.stderr) == (0, f"{file}: nothing is wrong with it\n", "")
    by_name = command("config", "check", env={"ROOST_CONFIG": file})
    assert (by_name.exit_code, by_name.stdout) == (0, checked.stdout)
    assert json.loads(command("config", "check", file, "--json").stdout) == {"problems": []}
    assert command("config", "check").exit_code == 0


def test_every_problem_gets_a_line(tmp_path: Path) -> None:
    file = write(tmp_path, 'lisen = 1\ndrain_s = "soon"\n[limits]\npublish_max = 0\nfetch_max = 0\n')
    checked = command("config", "check", file, env={"ROOST_LISTN": "x"})
    assert (checked.exit_code, checked.stdout) == (EX_CONFIG, "")
    lines = checked.stderr.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("roost: ") for line in lines)
    for part in ("lisen", "drain_s", "publish_max", "fetch_max", "ROOST_LISTN"):
        assert sum(part in line for line in lines) == 1, part
    as_json = command("config", "check", file, "--json")
    assert as_json.exit_code == EX_CONFIG
    assert len(json.loads(as_json.stdout)["problems"]) == 4
    assert as_json.stderr == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('listen = "0.0.0.0:7300"', "listen_beyond_loopback"),
        (f'admin_socket = "/{"x" * 200}"', "107 bytes"),
        ("[retention", "is not TOML"),
    ],
)
def test_what_would_keep_a_broker_from_starting_is_found(tmp_path: Path, text: str, says: str) -> None:
    checked = command("config", "check", write(tmp_path, text))
    assert checked.exit_code == EX_CONFIG
    assert says in checked.stderr
    assert checked.stderr.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    checked = command("config", "check", str(tmp_path / "none.toml"))
    assert (checked.exit_code, "cannot be read" in checked.stderr) == (EX_CONFIG, True)


def values(*args: str, env: dict[str, str] | None = None) -> dict[str, dict[str, object]]:
    result = command(*args, "--json", env=env)
    assert result.exit_code == 0, result.stderr
    return {row["key"]: row for row in json.loads(result.stdout)["values"]}


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    file = write(tmp_path, 'data = "from-file"\ndrain_s = 1\n[limits]\nfetch_max = 8\n')
    env = {"ROOST_CONFIG": file, "ROOST_DRAIN_S": "2", "ROOST_DATA": "from-env"}
    rows = values("config", "show", env=env)
    assert (rows["drain_s"]["value"], rows["drain_s"]["origin"], rows["drain_s"]["source"]) == (
        2, "environment", "ROOST_DRAIN_S",
    )  # fmt: skip
    assert (rows["data"]["value"], rows["data"]["source"]) == ("from-env", "ROOST_DATA")
    assert (rows["limits.fetch_max"]["origin"], rows["limits.fetch_max"]["source"]) == ("file", file)
    assert rows["listen"]["origin"] == "default"
    rows = values("--data", "from-flag", "config", "show", env=env)
    assert (rows["data"]["value"], rows["data"]["origin"], rows["data"]["source"]) == ("from-flag", "flag", "--data")


def test_a_flag_that_says_where_the_broker_is_goes_over_all_that_the_environment_says_of_it() -> None:
    rows = values("config", "show", "--data", "d", env={"ROOST_SOCKET": "/elsewhere"})
    assert (rows["data"]["value"], rows["admin_socket"]["value"]) == ("d", "")


def test_the_long_form_gives_unit_range_and_reason() -> None:
    short, long = command("config", "show").stdout, command("config", "show", "--long").stdout
    assert short.splitlines()[0].split() == ["KEY", "VALUE", "FROM"]
    keys = [line.split()[0] for line in short.splitlines()[1:]]
    assert len(keys) > 50
    assert [line.split()[0] for line in long.splitlines() if not line.startswith(" ")] == keys
    told = "limits.fetch_max = 200 entries   from default\n    1 to 1000; default 200; a change takes effect at once\n"
    assert told + "    entries in one PAGE\n" in long


def test_a_configuration_that_cannot_be_used_is_not_shown() -> None:
    result = command("config", "show", env={"ROOST_DRAIN_S": "x"})
    assert (result.exit_code, result.stdout) == (EX_CONFIG, "")
    assert "ROOST_DRAIN_S" in result.stderr


@pytest.mark.process
def test_the_running_broker_says_what_it_goes_by(broker: RunningBroker) -> None:
    rows = values("--socket", str(broker.socket), "config", "show", "--effective", env={"ROOST_DRAIN_S": "9"})
    assert (rows["data"]["value"], rows["data"]["source"]) == (str(broker.data), "--data")
    assert (rows["listen"]["origin"], rows["passwords.passes"]["origin"]) == ("flag", "file")
    assert rows["drain_s"]["value"] == 5
    assert broker.ask("config", "show", "--effective").exit_code == 0
    assert broker.ask("config", "show", "--effective", "--config", "x").exit_code == EX_USAGE


def test_no_broker_to_ask(tmp_path: Path) -> None:
    assert command("--data", str(tmp_path), "config", "show", "--effective").exit_code == EX_UNAVAILABLE


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (5, "5"), (0.5, "0.5"), ("", "-"), ("x", "x"), (("a", "b"), "a, b"), ((), "")]
)
def test_a_value_as_a_person_reads_it(value: object, text: str) -> None:
    assert shown(value) == text
