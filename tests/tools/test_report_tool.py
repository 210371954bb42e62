from tests.helpers.tested_run import write_tested_run
from tools import report


def test_table_of_a_folder(tmp_path, capsys):
    write_tested_run(tmp_path / "a", [True, False])
    assert report.main(["--table", str(tmp_path)]) == 0
    assert "50.00*" in capsys.readouterr().out
    assert (tmp_path / "runs.csv").read_text().startswith("run,state,")
