import json

from slowfast.analysis.report.order_of_time import time_sections
from slowfast.analysis.report.run_folder import RunFolder


def test_results_of_arrow_and_tempo_are_shown_where_they_are(tmp_path):
    assert time_sections(RunFolder(tmp_path)) == []
    orders = {"normal": 90.0, "reversed": 10.0, "shuffled": 50.0, "single_frame": 12.5}
    arrow = {"metric": "top-1 (%)", "runs": [{"run": "net", "videos": 8, **orders}]}
    (tmp_path / "arrow.json").write_text(json.dumps(arrow))
    points = [{"factor": 1.0, "value": 90.0}, {"factor": 2.0, "value": 70.0}]
    tempo = {"runs": [{"run": "net", "metric": "top-1", "points": points}]}
    (tmp_path / "tempo").mkdir()
    (tmp_path / "tempo/tempo.json").write_text(json.dumps(tempo))
    order, speed = time_sections(RunFolder(tmp_path))
    assert order.tables[0].rows == [["net", 8, 90.0, 10.0, 50.0, 12.5]]
    assert "net from 90 at 1 to 70 at 2" in speed.charts[0].svg
